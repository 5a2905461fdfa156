"""Child processes that don't outlive the demo or the tests, even when those are killed."""

from __future__ import annotations

import shutil
import signal


def bound_to_us(words: list[str], ending: signal.Signals) -> list[str]:
    """The command line that gets a signal when our process dies; as it is where the system can't do that."""
    # setpriv becomes the program itself, so the process id stays, and no code of ours runs between fork and exec.
    setpriv = shutil.which("setpriv") or shutil.which("setpriv", path="/usr/bin:/bin")
    return words if setpriv is None else [setpriv, "--pdeathsig", ending.name.removeprefix("SIG"), "--", *words]
