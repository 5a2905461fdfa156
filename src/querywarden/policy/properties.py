"""The properties of a statement that rules name: its hazards, and the traits that take the catalogue and the principal to see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Reveal
from querywarden.model.facts import Hazard, StatementFacts, Verb
from querywarden.model.functions import LARGE_OBJECT, LARGE_OBJECT_READS
from querywarden.model.glob import is_any_match
from querywarden.model.hidden_columns import settled_flow
from querywarden.policy.keys import cascades, is_keyed, is_unkeyed
from querywarden.policy.language import Property, Trait
from querywarden.policy.laundering import SYSTEM_SCHEMAS, Flow

_READING = frozenset(
    {
        Verb.EMPTY, Verb.SELECT, Verb.EXPLAIN, Verb.SHOW, Verb.SET, Verb.RESET, Verb.DISCARD, Verb.TRANSACTION, Verb.PREPARE,
        Verb.EXECUTE, Verb.DEALLOCATE, Verb.DECLARE, Verb.FETCH, Verb.CLOSE,
    }
)  # fmt: skip

_WRAPPERS = frozenset({Verb.EXPLAIN, Verb.PREPARE, Verb.EXECUTE, Verb.DECLARE})
"""Statements that are no more than a way to run their child: the child's hazards are judged with the child's own verb."""

_ROW_HAZARDS = frozenset(
    {Hazard.UNCONDITIONAL, Hazard.TAUTOLOGICAL, Hazard.DATA_MODIFYING_CTE, Hazard.SCHEMA_CHANGE, Hazard.DESTRUCTIVE_DDL}
)
"""What a statement that is only explained does not do."""

_TEMPORARY_KINDS = ("table", "sequence", "index")

_ON = frozenset({"on", "true", "tru", "tr", "t", "yes", "ye", "y", "1"})
"""How PostgreSQL spells a boolean setting that is on."""

_NOTIFYING = frozenset({"pg_notify", "setval", "pg_logical_emit_message"})


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a statement as rules see it: the statement itself or one of its children, with its properties."""

    facts: StatementFacts
    properties: frozenset[Property]


def parts_of(
    root: StatementFacts,
    catalogue: Catalogue,
    reveal: Reveal,
    trusted: tuple[str, ...],
    is_blind: bool = False,
    writes_back: bool = False,
) -> Iterator[Part]:
    """The parts of a statement, itself first; iterative, so that depth costs no stack. Args: `writes_back`: it stores masked values."""
    catalogue = without_trusted(catalogue, trusted)
    if root.flow is not None and settled_flow(root, catalogue, is_blind) is None:
        root = replace(root, flow=None)
    flow = Flow(root, catalogue, reveal, is_blind)
    runs = root.verb is not Verb.EXPLAIN or Hazard.EXPLAIN_ANALYZE in root.hazards
    pending = [root]
    while pending:
        facts = pending.pop()
        pending.extend(reversed(facts.children))
        properties = _properties(facts, catalogue, flow, runs)
        if writes_back and facts is root:
            properties |= {Trait.MASKED_WRITE_BACK}
        yield Part(facts, properties | {Trait.TRUSTED_CALL} if _calls_trusted(facts, trusted) else properties)


def _calls_trusted(facts: StatementFacts, trusted: tuple[str, ...]) -> bool:
    return facts.verb is Verb.CALL and bool(facts.functions) and all(is_any_match(trusted, function.name) for function in facts.functions)


def _properties(facts: StatementFacts, catalogue: Catalogue, flow: Flow, runs: bool) -> frozenset[Property]:
    hazards = facts.hazards
    if facts.verb in _WRAPPERS and facts.children:
        hazards = hazards.difference(*(child.hazards for child in facts.children))
    if not runs:
        hazards -= _ROW_HAZARDS
    if Hazard.CROSS_JOIN in hazards and _reads_catalogues(facts, catalogue):
        # Tools put sub-selects about one object side by side, and how many objects there are bounds the rest.
        hazards -= {Hazard.CROSS_JOIN}
    return frozenset(hazards | set(_traits(facts, catalogue, flow, runs)))


def _reads_catalogues(facts: StatementFacts, catalogue: Catalogue) -> bool:
    """Whether a statement reads the server's own catalogues and nothing else."""
    found = [relation for name in facts.reads for relation in catalogue.candidates(name)]
    return bool(found) and all(catalogue.knows(name) for name in facts.reads) and all(each.schema in SYSTEM_SCHEMAS for each in found)


def _traits(facts: StatementFacts, catalogue: Catalogue, flow: Flow, runs: bool) -> Iterator[Trait]:
    is_volatile = _holds(catalogue.calls_volatile, facts, flow)
    large_objects = {function.name for function in facts.functions} & LARGE_OBJECT
    changes = runs and (
        facts.changes_data or bool(large_objects - LARGE_OBJECT_READS) or any(function.name in _NOTIFYING for function in facts.functions)
    )
    if changes:
        yield Trait.CHANGES_DATA
    # Large objects have no columns, so nothing could mask what an agent reads from one.
    is_reading = facts.verb in _READING and not changes and not is_volatile and not large_objects
    if (is_reading and Hazard.EXPLAIN_ANALYZE not in facts.hazards) or not runs:
        yield Trait.READ_ONLY
    if is_temporary(facts):
        yield Trait.TEMPORARY
    if _holds(catalogue.is_opaque, facts, flow):
        yield Trait.OWN_FUNCTION
    if is_volatile:
        yield Trait.VOLATILE_FUNCTION
    if large_objects:
        yield Trait.LARGE_OBJECT
    if any(not catalogue.knows(name) for name in facts.reads | facts.writes):
        yield Trait.UNKNOWN_RELATION
    if _holds(catalogue.touches_classified, facts, flow):
        yield Trait.TOUCHES_CLASSIFIED
    if facts.verb is Verb.COPY_OUT and flow.copies_classified(facts):
        yield Trait.CLASSIFIED_COPY
    if runs and flow.stores_classified(facts):
        yield Trait.CLASSIFIED_WRITE
    if flow.tells_classified:
        yield Trait.CLASSIFIED_PREDICATE
    if flow.groups_classified:
        yield Trait.CLASSIFIED_GROUPING
    if runs:
        yield from _key_traits(facts, catalogue, flow)
    if catalogue.has_classified and any(s.name == "row_security" and (s.value or "on").lower() not in _ON for s in facts.settings):
        yield Trait.ROW_SECURITY_OFF


def _holds(question: Callable[[StatementFacts], bool], facts: StatementFacts, flow: Flow) -> bool:
    """Whether something is true of a part: what is true of it by names must be true of the whole as the server understands it."""
    return question(facts) and (flow.lineage is None or facts is flow.root or question(flow.root))


def _key_traits(facts: StatementFacts, catalogue: Catalogue, flow: Flow) -> Iterator[Trait]:
    if facts.verb in (Verb.UPDATE, Verb.DELETE):
        if not flow.is_blind and is_keyed(facts, catalogue):
            yield Trait.KEYED_WRITE
        elif is_unkeyed(facts, catalogue):
            yield Trait.UNKEYED_WRITE
    if cascades(facts, catalogue):
        yield Trait.CASCADES


def is_temporary(facts: StatementFacts) -> bool:
    """Whether a statement changes temporary tables alone, as its text proves: made as such, or named in `pg_temp`.

    An unqualified name proves nothing: it may mean a lasting relation as well. A temporary view is no table: it shows
    what others hold under other names.
    """
    if facts.object_kind is not None and not facts.object_kind.endswith(_TEMPORARY_KINDS):
        return False
    if facts.object_kind is not None and facts.object_kind.startswith("temporary_"):
        return True
    return bool(facts.writes) and all(name.schema == "pg_temp" for name in facts.writes)


def without_trusted(catalogue: Catalogue, trusted: tuple[str, ...]) -> Catalogue:
    """The catalogue with the functions that the policy trusts no longer taken for opaque."""
    if not trusted or not catalogue.opaque_functions:
        return catalogue
    return _without_trusted(Pinned(catalogue), trusted)


class Pinned:
    """A catalogue as a key of a memory: one object, whatever its contents; comparing those would cost more than they save."""

    __slots__ = ("catalogue",)

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pinned) and self.catalogue is other.catalogue

    def __hash__(self) -> int:
        return id(self.catalogue)


@lru_cache(maxsize=8)
def _without_trusted(pinned: Pinned, trusted: tuple[str, ...]) -> Catalogue:
    catalogue = pinned.catalogue
    return replace(
        catalogue,
        opaque_functions=frozenset(name for name in catalogue.opaque_functions if not is_any_match(trusted, name)),
        volatile_functions=frozenset(name for name in catalogue.volatile_functions if not is_any_match(trusted, name)),
    )
