"""Replaying a decision from its record: what the log keeps of a statement, judged by another policy.

A record holds names and properties, never the text, and those of a statement's parts are merged there: each verb stands for a part
with all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Estimate
from querywarden.model.facts import Hazard, SettingChange, StatementFacts, Verb
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment, FunctionName, RelationName
from querywarden.policy.evaluate import Judgement, Request, judge_parts, reveal_of
from querywarden.policy.language import Policy, Property, Trait
from querywarden.policy.properties import Part

_PROPERTIES: dict[str, Property] = {each.value: each for each in (*Hazard, *Trait)}
_CUT = ("reads_more", "writes_more", "functions_more", "hazards_more", "settings_more", "columns_more")
"""Where a record says that it doesn't hold all names of a kind."""


class NotReplayable(Exception):
    """A record that doesn't hold what a decision needs; the text says why, in a few words that group alike records."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a record says of a statement: who ran it, where, and its parts. `rows` is the planner's estimate, where one was asked."""

    principal: Principal
    database: Database
    parts: tuple[Part, ...]
    rows: int | None


def recorded(record: Mapping[str, Any]) -> Recorded:
    """The statement of a `db.query.decided` record.

    Raises: NotReplayable.
    """
    if "props" not in record:
        raise NotReplayable("no properties recorded, as older versions did")
    if any(name in record for name in _CUT):
        raise NotReplayable("more names than a record holds")
    try:
        facts = _facts(record)
        properties = _properties(facts.verb, record["props"])
        verbs = tuple(Verb(name) for name in record.get("verbs", ()) if name != facts.verb)
        principal = _principal(record["who"])
        where = record["db"]
        database = Database(str(where["name"]), Environment(where["env"]), str(where.get("engine", "postgresql")))
    except (KeyError, ValueError, TypeError, AttributeError):
        raise NotReplayable("names that this version doesn't know") from None
    rows = record.get("rows_est")
    parts = tuple(Part(replace(facts, verb=verb), properties) for verb in (facts.verb, *verbs))
    return Recorded(principal, database, parts, rows if isinstance(rows, int) else None)


def _properties(verb: Verb, names: Iterable[str]) -> frozenset[Property]:
    """The properties of all parts together: that one of them only reads says nothing where another one changes something or exports."""
    found = frozenset(_PROPERTIES[name] for name in names)
    if Trait.CHANGES_DATA in found or verb is Verb.COPY_OUT:
        return found - {Trait.READ_ONLY}
    return found


def judge_recorded(policy: Policy, found: Recorded, catalogue: Catalogue, estimate: Estimate | None, now: float) -> Judgement:
    """The policy's answer to a recorded statement, at the time of its record."""
    request = Request(found.principal, found.database, found.parts[0].facts, catalogue, False, estimate, now)
    return judge_parts(policy, request, found.parts, reveal_of(policy, found.principal, found.database, catalogue))


def _facts(record: Mapping[str, Any]) -> StatementFacts:
    return StatementFacts(
        verb=Verb(record["verb"]),
        normalised=str((record.get("stmt") or {}).get("norm", "")),
        reads=frozenset(RelationName(*_split(name)) for name in _names(record, "reads")),
        writes=frozenset(RelationName(*_split(name)) for name in _names(record, "writes")),
        functions=frozenset(FunctionName(*_split(name)) for name in _names(record, "functions")),
        hazards=frozenset(Hazard(name) for name in _names(record, "hazards")),
        settings=tuple(SettingChange(name, None, False) for name in _names(record, "settings")),
        object_kind=record.get("kind"),
        column_names=frozenset(_names(record, "columns")),
        has_star=bool(record.get("star")),
        values_rows=record.get("values"),
    )


def _principal(who: Mapping[str, Any]) -> Principal:
    if "groups_more" in who:
        raise NotReplayable("more groups than a record holds")
    return Principal(
        subject=str(who["sub"]),
        issuer=str(who["iss"]),
        kind=PrincipalKind(who["kind"]),
        groups=frozenset(map(str, who.get("groups", ()))),
        actors=tuple(Actor(str(actor["sub"]), str(actor["iss"])) for actor in who.get("act", ())),
    )


def _names(record: Mapping[str, Any], field: str) -> Sequence[str]:
    return [str(name) for name in record.get(field, ())]


def _split(name: str) -> tuple[str | None, str]:
    schema, dot, last = name.rpartition(".")
    return (schema, last) if dot else (None, name)
