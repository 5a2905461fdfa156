"""The claims of a verified JWT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Claims:
    """What a JWT says after its signature and all rules of its issuer were checked.

    `client` is `azp` or `client_id`; `values` is the whole claims set, for the mapping alone: it may hold personal data and is
    kept out of the repr.
    """

    issuer: str
    subject: str
    expires_at: int
    token_id: str | None = None
    client: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
