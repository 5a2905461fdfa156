"""The policy in force, and whether the file behind it has changed: a broken file leaves it as it was and says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from querywarden.config.policy_file import load_policy
from querywarden.errors import ConfigurationError
from querywarden.policy.baseline import BASELINE
from querywarden.policy.language import Policy

Stamp = tuple[int, int, int] | None
"""What changes when a file is written or replaced: inode, size, modification time; None for no file."""


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """Another policy is in force now."""

    previous: Policy
    policy: Policy


@dataclass(frozen=True, slots=True)
class PolicyBroken:
    """The file can't be used; the policy in force is as it was."""

    error: ConfigurationError


class PolicyWatch:
    """Holds the policy in force. Raises: ConfigurationError when the file is broken at the start."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp = self._stamp_now()
        self.policy: Policy = BASELINE if path is None else load_policy(path)
        self.is_valid = True
        """Whether the file on disk is the policy in force."""

    @property
    def source(self) -> str:
        """Where the policy comes from: the file, or the built-in rules."""
        return "built in" if self._path is None else str(self._path)

    def look(self, *, is_forced: bool = False) -> PolicyChanged | PolicyBroken | None:
        """Read the file again if it has changed since it was last looked at, or if that is forced.

        None: nothing is to be told. The new policy is in force when this returns.
        """
        stamp = self._stamp_now()
        if self._path is None or (stamp == self._stamp and not is_forced):
            return None
        self._stamp = stamp
        try:
            policy = load_policy(self._path)
        except ConfigurationError as error:
            self.is_valid = False
            return PolicyBroken(error)
        self.is_valid = True
        previous, self.policy = self.policy, policy
        return None if policy.version == previous.version else PolicyChanged(previous, policy)

    def _stamp_now(self) -> Stamp:
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns
