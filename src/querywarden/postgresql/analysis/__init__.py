"""Analysis: what a statement's text says that it is and touches; `analyse` is the one way in."""

from querywarden.postgresql.analysis.classify import analyse
from querywarden.postgresql.analysis.normalise import normalise_fallback

__all__ = ["analyse", "normalise_fallback"]
