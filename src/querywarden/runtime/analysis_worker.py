"""The worker process of the analysers: reads texts from stdin, writes analyses to stdout, and nothing else.

A text that makes the parser run away or crash takes this process with it and not the proxy. So the process bounds its own
memory, has no secret in its environment, and is believed no further than its answers' types (see `analysers`).

Wire: both ways a 4-byte length and so many bytes; to the worker the text, from it a pickle of the analysis.
"""

from __future__ import annotations

import pickle
import resource
import sys
from typing import BinaryIO

from querywarden.model.facts import Unanalysable
from querywarden.postgresql.analysis import analyse

READY = b"ready"
MEMORY_BYTES_MAX = 2 * 1024 * 1024 * 1024
LENGTH_BYTES = 4


def main() -> None:
    """Serve until stdin ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    _answer(answers, READY)
    while len(length := requests.read(LENGTH_BYTES)) == LENGTH_BYTES:
        text = requests.read(int.from_bytes(length, "big"))
        _answer(answers, _analysis_of(text))


def _analysis_of(text: bytes) -> bytes:
    try:
        return pickle.dumps(analyse(text))
    except (MemoryError, RecursionError):
        return pickle.dumps(Unanalysable("too_complex", "the statement is too complex to be analysed"))


def _answer(answers: BinaryIO, data: bytes) -> None:
    answers.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)
    answers.flush()


if __name__ == "__main__":
    main()
