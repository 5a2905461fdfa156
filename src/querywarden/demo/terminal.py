"""The tour's terminals: psql and commands, printed with their answers as a terminal shows them, and checked."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from querywarden.demo.installations import Psql
from querywarden.demo.program import querywarden
from querywarden.demo.site import Site

STEP_SECONDS_MAX = 60


class Disappointment(Exception):
    """A step of the tour did not show what was promised."""


@dataclass(slots=True)
class Waiting:
    """A psql that runs while the tour goes on; what it has said so far is in a file."""

    process: subprocess.Popen[bytes]
    file: Path
    shown: int = 0

    def said(self) -> str:
        """What it has said since it was asked last."""
        text = self.file.read_text(errors="replace")
        new, self.shown = text[self.shown :], len(text)
        return new.strip("\n")


class Terminal:
    """Runs psql and commands, prints them with their answers, and checks the answers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._psql: Psql = site.psql()
        # What must never appear: the shop's people are known, and so are their keys.
        self._canaries = [text for p in site.shop.people for text in (p.email, p.phone, p.card_number, p.iban)]
        self._canaries += site.sql("SELECT api_key FROM api_keys").split()

    def title(self, text: str) -> None:
        """A heading."""
        print(f"\n── {text} " + "─" * max(0, 100 - len(text)), flush=True)

    def psql(self, user: str, token: str, statement: str, *, refused: bool = False) -> str:
        """Run a statement with psql as a user, print the dialogue, and check for canaries and for the expected outcome."""
        return self.end_psql(self.begin_psql(user, token, statement), refused=refused)

    def begin_psql(self, user: str, token: str, statement: str) -> Waiting:
        """Start a statement with psql as a user, and go on while it runs."""
        print(f"{user}=> {statement}", flush=True)
        environment = {
            **os.environ, **self._psql.environment(), "PGPASSWORD": token, "PSQL_PAGER": "", "PGCONNECT_TIMEOUT": "20",
        }  # fmt: skip
        file = self._site.folder / f"psql-{user}.out"
        with file.open("wb") as out:
            process = subprocess.Popen(
                [str(self._psql.program), "-X", "-v", "ON_ERROR_STOP=1", self._site.connection_string(user), "-c", statement],
                stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment,
            )  # fmt: skip
        return Waiting(process, file)

    def end_psql(self, waiting: Waiting, *, refused: bool = False) -> str:
        """Wait for a psql to end, print what it has said since, and check its outcome."""
        try:
            code = waiting.process.wait(STEP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            waiting.process.kill()
            waiting.process.wait()
            raise Disappointment(f"psql did not end within {STEP_SECONDS_MAX} s") from None
        answer = self._tell(waiting)
        if refused and code == 0:
            raise Disappointment("the statement was to be refused, and it ran")
        if not refused and code != 0:
            raise Disappointment("the statement was to work, and it failed")
        return answer

    def wait_for(self, waiting: Waiting, text: str) -> str:
        """Wait until a psql that goes on has said something, and print what it has said so far."""
        deadline = time.monotonic() + STEP_SECONDS_MAX
        while text not in waiting.file.read_text(errors="replace"):
            if waiting.process.poll() is not None or time.monotonic() > deadline:
                waiting.process.kill()
                self._tell(waiting)
                raise Disappointment(f"{text!r} was expected in the answer of a statement that waits")
            time.sleep(0.05)
        return self._tell(waiting)

    def _tell(self, waiting: Waiting) -> str:
        answer = waiting.said()
        print(answer, flush=True)
        self.must_not_show(answer, self._canaries)
        return answer

    def command(self, *arguments: str, hidden: tuple[str, ...] = ()) -> str:
        """Run a querywarden command and print the dialogue; `hidden` arguments are not printed, since every command has them."""
        print(f"$ querywarden {shlex.join(arguments)}", flush=True)
        done = querywarden(*arguments, *hidden)
        print((done.out + done.err).rstrip(), flush=True)
        if done.code != 0:
            raise Disappointment(f"`querywarden {' '.join(arguments)}` ended with code {done.code}")
        self.must_not_show(done.out + done.err, self._canaries)
        return done.out

    def must_show(self, answer: str, *texts: str) -> None:
        """Check that an answer holds these texts, whatever their case."""
        for text in texts:
            if text.lower() not in answer.lower():
                raise Disappointment(f"{text!r} was expected in the answer")

    def must_not_show(self, answer: str, texts: Iterable[str]) -> None:
        """Check that an answer holds none of these texts; the message doesn't repeat the text."""
        for text in texts:
            if text in answer:
                raise Disappointment(f"a value that must not be seen was shown (it begins with {text[:2]!r})")

    def must_be(self, what: str, expected: str, actual: str) -> None:
        """Check a fact, read directly from the server."""
        if expected != actual:
            raise Disappointment(f"{what}: expected {expected!r}, found {actual!r}")
