"""The analysers: worker processes for texts too large to be analysed in the event loop.

A worker is started when it is first needed. One that doesn't answer in time, or dies, is replaced, and the text that it was
given is refused. Its answers are unpickled with an allow-list of the model's own classes: text from a client has been in
that process, so what comes out of it is not trusted to name anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from querywarden.model.facts import Analysis, StatementFacts, Unanalysable
from querywarden.runtime.analysis_worker import LENGTH_BYTES, READY

ANSWER_BYTES_MAX = 256 * 1024 * 1024
START_SECONDS_MAX = 20.0
WORKER_COMMAND = (sys.executable, "-m", "querywarden.runtime.analysis_worker")

_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "VIRTUAL_ENV")
"""The variables that a worker sees: none that may hold a secret."""

_PICKLED = {
    "querywarden.model.facts": ("CopyFormat", "Expression", "Hazard", "SettingChange", "StatementFacts", "Unanalysable", "Verb"),
    "querywarden.model.resource": ("FunctionName", "RelationName"),
    "builtins": ("frozenset",),
    "copyreg": ("__newobj__",),
}


class Analysers:
    """A pool of worker processes. Limits: `workers` at once, `seconds_max` for each text."""

    def __init__(self, workers: int, seconds_max: float, command: Sequence[str] = WORKER_COMMAND) -> None:
        self._seconds_max = seconds_max
        self._command = command
        self._free: list[_Worker] = []
        self._places = asyncio.Semaphore(workers)

    async def analyse(self, text: bytes) -> Analysis:
        """The analysis of a text; when there is none, an `Unanalysable` that says why. Never raises but on cancellation."""
        async with self._places:
            worker = self._free.pop() if self._free else _Worker(self._command)
            is_usable = False
            try:
                await worker.start()
                async with asyncio.timeout(self._seconds_max):
                    analysis = await worker.analyse(text)
                is_usable = True
                return analysis
            except TimeoutError:
                return Unanalysable("timeout", "the analysis of the statement took too long")
            except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, AttributeError, TypeError, ValueError) as error:
                # RuntimeError: the loop says so of a pipe whose other end has gone.
                structlog.get_logger().warning("analysis.worker_lost", detail=type(error).__name__, text_bytes=len(text))
                return Unanalysable("too_complex", "the statement is too complex to be analysed")
            finally:
                if is_usable:
                    self._free.append(worker)
                else:
                    worker.kill()

    async def close(self) -> None:
        """End all workers."""
        workers, self._free = self._free, []
        for worker in workers:
            worker.kill()
            await worker.wait()


class _Worker:
    """One worker process, which analyses one text at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process and wait until it is ready, unless it is already."""
        if self._process is not None:
            return
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env=environment, start_new_session=True,
        )  # fmt: skip
        async with asyncio.timeout(START_SECONDS_MAX):
            if await self._receive() != READY:
                raise EOFError

    async def analyse(self, text: bytes) -> Analysis:
        """Send a text and wait for its analysis."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(len(text).to_bytes(LENGTH_BYTES, "big") + text)
        await self._process.stdin.drain()
        return load_analysis(await self._receive())

    async def _receive(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        length = int.from_bytes(await self._process.stdout.readexactly(LENGTH_BYTES), "big")
        if length > ANSWER_BYTES_MAX:
            raise EOFError
        return await self._process.stdout.readexactly(length)

    def kill(self) -> None:
        """End the process at once; the loop reaps it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def wait(self) -> None:
        """Wait until the process has gone."""
        if self._process is not None:
            await self._process.wait()


def load_analysis(data: bytes) -> Analysis:
    """An analysis from a worker's answer.

    Raises: pickle.UnpicklingError when it names anything but the model's classes or is no analysis.
    """
    analysis = _Unpickler(io.BytesIO(data)).load()
    if isinstance(analysis, Unanalysable):
        return analysis
    if isinstance(analysis, tuple) and all(isinstance(facts, StatementFacts) for facts in analysis):
        return analysis
    raise pickle.UnpicklingError("not an analysis")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        allowed: Mapping[str, tuple[str, ...]] = _PICKLED
        if name not in allowed.get(module, ()):
            raise pickle.UnpicklingError(f"{module}.{name} is not expected here")
        return super().find_class(module, name)
