"""The one exception of admission: the message in front can't be judged yet."""

from __future__ import annotations


class MustWait(Exception):
    """The message can't be judged yet; it is judged again when what it waits for has come."""
