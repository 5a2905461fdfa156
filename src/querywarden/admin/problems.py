"""Problems: why a use case was not carried out. Nothing has changed when one is raised."""

from __future__ import annotations

from enum import StrEnum

from querywarden.errors import QuerywardenError


class ProblemCode(StrEnum):
    """What kind of problem it is; stable, for programs."""

    UNKNOWN_REQUEST = "unknown_request"
    """No request has this id, or none that the caller may see: the two are told alike."""
    NOT_PENDING = "not_pending"
    EXPIRED = "expired"
    CONSUMED = "consumed"
    DENIED_ALREADY = "denied_already"
    WITHDRAWN = "withdrawn"
    ALREADY_VOTED = "already_voted"
    OWN_REQUEST = "own_request"
    NOT_AN_APPROVER = "not_an_approver"
    POLICY_CHANGED = "policy_changed"
    BLOCKED = "blocked"
    NOT_AN_ADMINISTRATOR = "not_an_administrator"
    NOT_REQUESTABLE = "not_requestable"
    UNKNOWN_SESSION = "unknown_session"
    UNKNOWN_BLOCK = "unknown_block"
    UNKNOWN_GRANT = "unknown_grant"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    TOO_MANY_REQUESTS = "too_many_requests"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"
    NOT_FOUND = "not_found"
    INTERNAL = "internal"


class Problem(QuerywardenError):
    """A use case was refused or could not be carried out; `sentence` is public and holds no literal, token or row data."""

    def __init__(self, code: ProblemCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
