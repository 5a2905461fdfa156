"""Name resolution: what decides which objects the names of a statement mean, and what may have changed that.

The server is asked once in a session, and again after whatever may have moved it; never before every statement.
Spec: PostgreSQL 18, "The Schema Search Path"; temporary relations stand before all others.
"""

from __future__ import annotations

import orjson

from querywarden.model.catalogue import Catalogue
from querywarden.model.facts import Hazard, StatementFacts, Verb
from querywarden.postgresql.probe import Step

_MOVING_SETTINGS = frozenset(
    {"all", "role", "row_security", "search_path", "session_authorization", "session_replication_role", "transform_null_equals"}
)
"""Settings that decide what a statement is understood as; `all` stands for RESET ALL."""
_MOVING = frozenset({Verb.DISCARD, Verb.DO, Verb.CALL, Verb.CREATE, Verb.ALTER, Verb.DROP})
REPORTED = frozenset({b"search_path", b"session_authorization", b"is_superuser"})
"""What servers report of it by ParameterStatus, `search_path` from PostgreSQL 18 on."""
_ENDS = frozenset({"commit", "rollback", "rollback_to"})
"""What ends a transaction or a part of it, and takes SET LOCAL, or SET, back."""

_TEMPORARY = (
    "CASE WHEN pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0::pg_catalog.oid THEN"
    " (SELECT pg_catalog.string_agg(c.oid::pg_catalog.text, ',' ORDER BY c.oid) FROM pg_catalog.pg_class c"
    " WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) END"
)
QUESTION = Step(
    (
        "SELECT pg_catalog.json_build_array(pg_catalog.current_schemas(true), CURRENT_USER, SESSION_USER,"
        " pg_catalog.current_setting('row_security'), pg_catalog.current_setting('session_replication_role'),"
        f" pg_catalog.current_setting('transform_null_equals'), {_TEMPORARY})::pg_catalog.text"
    ).encode()
)
"""Asks for the name space: the schemas that are searched, the role, the settings of the rewriter, and the session's temporary relations."""
_NO_TEMPORARY = ", null]"


class NameResolution:
    """What a session knows of its name space. `key` None: it isn't known, and has to be asked for before it counts."""

    __slots__ = ("_has_moved", "_takes_roles", "epoch", "is_login_role", "key", "refused_until")

    def __init__(self) -> None:
        self.key: str | None = None
        self.epoch = 0
        """How often the name space may have moved."""
        self._has_moved = False
        """It may have moved since the last transaction ended, so that its end may move it back."""
        self._takes_roles = False
        """The client has changed the session's own role, as superusers can."""
        self.is_login_role = False
        """Its role is the one that all sessions of the database have at their beginning."""
        self.refused_until = 0.0
        """When a server that has said that this role may not silence the log may be asked again about trees, in seconds since the epoch."""

    def settle(self, answer: str | None, session_id: str) -> None:
        """Take the server's answer. One with temporary relations is the session's own, since others have others of the same names."""
        if answer is not None:
            self.key = answer if answer.endswith(_NO_TEMPORARY) else f"{session_id} {self.epoch} {answer}"
            self.is_login_role = not self._takes_roles and _has_one_role(answer)

    def moved(self) -> None:
        """The name space may have moved."""
        self.epoch += 1
        self.key = None
        self.refused_until = 0.0
        self._has_moved = True

    def note(self, facts: StatementFacts, catalogue: Catalogue) -> None:
        """Take note of a statement that is admitted."""
        self._takes_roles |= any(change.name == "session_authorization" for change in facts.settings)
        if moves(facts, catalogue) or (self._has_moved and facts.verb is Verb.TRANSACTION and facts.transaction in _ENDS):
            self.moved()

    def transaction_ended(self) -> None:
        """A transaction has ended, in whatever way."""
        if self._has_moved:
            self.moved()
            self._has_moved = False


def _has_one_role(answer: str) -> bool:
    """Whether the current role is the session's."""
    try:
        _, current, own, *_ = orjson.loads(answer)
    except (orjson.JSONDecodeError, ValueError, TypeError):
        return False
    return bool(current == own)


def moves(facts: StatementFacts, catalogue: Catalogue) -> bool:
    """Whether a statement may change what names mean: by a setting, a temporary relation, or code that may do either."""
    if any(change.name in _MOVING_SETTINGS for change in facts.settings) or facts.verb in _MOVING or Hazard.SCHEMA_CHANGE in facts.hazards:
        return True
    if facts.verb is Verb.RESET and not facts.settings:
        return True
    if any(function.name == "set_config" for function in facts.functions) or catalogue.is_opaque(facts):
        return True
    return any(moves(child, catalogue) for child in facts.children)
