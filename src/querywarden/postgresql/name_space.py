"""The name space of a held statement: what else, besides its text and parameters, decides what it means.

The same text may mean another table under another search path, behind a temporary table of the same name or as another role, and other
rows where dates are read in another order. An approval is bound to all of that. The session's own server is asked, in names that no
search path can change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from querywarden.model.facts import StatementFacts, Verb
from querywarden.postgresql.analysis.functions import is_built_in
from querywarden.postgresql.probe import Step

SETTINGS = ("search_path", "datestyle", "intervalstyle", "timezone", "row_security")
"""Settings that decide what names and constants mean."""

_TEXT_ARRAY = 1009
_TEMPORARY = (
    "(SELECT pg_catalog.jsonb_object_agg(c.relname, c.oid) FROM pg_catalog.pg_class c"
    " WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() AND c.relkind OPERATOR(pg_catalog.<>) 'i'"
    " AND ($1 IS NULL OR c.relname OPERATOR(pg_catalog.=) ANY ($1)))"
)
_SETTINGS_ASKED = ", ".join(f"'{name}', pg_catalog.current_setting('{name}')" for name in SETTINGS)
_QUESTION = f"SELECT pg_catalog.jsonb_build_object({_SETTINGS_ASKED}, 'role', CURRENT_USER, 'temporary', {_TEMPORARY})::pg_catalog.text"
_WITHOUT_SNAPSHOT = Step(b"SHOW search_path")


def name_space_step(held: Sequence[StatementFacts]) -> Step:
    """The step that asks for the name space of statements: settings, role, and the temporary relations that their names mean.

    Functions of the database's own look names up when they run, so that any temporary relation may count for them. LOCK is to come before
    a transaction's first snapshot, which this would take, and changes nothing wherever its name leads.
    """
    if all(facts.verb is Verb.LOCK for facts in held):
        return _WITHOUT_SNAPSHOT
    calls_own = any(not is_built_in(name) for facts in held for name in facts.functions) or any(facts.verb is Verb.CALL for facts in held)
    names = None if calls_own else _array(sorted({name.name for facts in held for name in facts.reads | facts.writes}))
    return Step(_QUESTION.encode(), (_TEXT_ARRAY,), (), (names,))


def _array(names: Iterable[str]) -> bytes:
    """An array of texts as the server reads it."""
    quoted = ('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in names)
    return ("{" + ",".join(quoted) + "}").encode()
