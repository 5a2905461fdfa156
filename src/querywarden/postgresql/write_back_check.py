"""The check of write-backs: whether a statement would store a mask, which its principal was shown, in place of a real value.

Only statements that store values of the client's choice in columns that the principal may not see are looked at: their literals, those of
the statement that they run by name, and their parameters. What can't be read counts as a mask.
"""

from __future__ import annotations

from functools import lru_cache, partial

from querywarden.masking.write_back import MaskedValues
from querywarden.model.facts import StatementFacts, Verb
from querywarden.policy.hidden_writes import takes_client_values_for_hidden
from querywarden.policy.laundering import parts_within
from querywarden.policy.reveals import reveal_of
from querywarden.postgresql.analysis.literals import literal_values
from querywarden.postgresql.bind_scan import BindScan
from querywarden.postgresql.decisions import NO_CATALOGUE
from querywarden.postgresql.prepared import Portal, Prepared
from querywarden.postgresql.session_state import SessionState
from querywarden.postgresql.shown_values import is_shown, is_shown_parameter

_LITERALS_KEPT = 256
_KEPT_BYTES_MAX = 4096
"""Longer texts are read anew: they are rare among those that are run again and again."""


def writes_back(state: SessionState, text: bytes, facts: StatementFacts, portal: Portal | None = None) -> bool:
    """Whether a statement stores a masked value, as far as can be told; one that can't be looked at does.

    Args: `facts` are those that it is decided by. A portal's parameters have to be there, as `keeps_arguments` says.
    Raises: NotSettled.
    """
    if not takes_hidden(state, facts):
        return False
    memory = state.context.remembered(state.principal, False)
    if portal is not None and _has_shown_parameter(portal, memory):
        return True
    # What a COPY stores comes behind it; its text has nothing of it.
    return facts.verb is not Verb.COPY_IN and any(_has_shown_literal(each, memory) for each in _texts(state, text, facts))


def takes_hidden(state: SessionState, facts: StatementFacts) -> bool:
    """Whether a statement stores values of the client's choice in columns that its principal may not see."""
    kept = state.current_verdicts().stores
    found = kept.get(facts)
    if found is None:
        catalogue = state.catalogue or NO_CATALOGUE
        reveal = reveal_of(state.context.policy(), state.principal, state.context.database, catalogue)
        found = takes_client_values_for_hidden(facts, catalogue, reveal)
        kept.keep(facts, found)
    return found


def keeps_arguments(state: SessionState, prepared: Prepared) -> bool:
    """Whether the parameters of a prepared statement may have to be looked at; what its names mean may have changed since."""
    facts = prepared.facts
    if facts is None or facts.verb is Verb.FETCH:
        return False
    if facts.verb is Verb.EXECUTE or prepared.understood is None or prepared.understood_at != state.names.epoch:
        return True
    return takes_hidden(state, facts) or takes_hidden(state, prepared.understood)


def scan_of(state: SessionState, prepared: Prepared) -> BindScan:
    """The scan of a Bind in pieces."""
    return BindScan(prepared.parameter_types, partial(is_shown_parameter, memory=state.context.remembered(state.principal, False)))


def lacks_arguments(state: SessionState, facts: StatementFacts, portal: Portal) -> bool:
    """Whether a portal's parameters would have to be looked at, and can't be: they weren't kept, or are too large."""
    if not portal.parameters or portal.arguments is not None or not takes_hidden(state, facts):
        return False
    return portal.scan is None or not portal.scan.is_complete or portal.scan.has_unseen


def _has_shown_parameter(portal: Portal, memory: MaskedValues | None) -> bool:
    if portal.scan is not None and portal.scan.has_shown:
        return True
    if portal.arguments is None:
        return False
    types = () if portal.prepared is None else portal.prepared.parameter_types
    formats = portal.arguments.parameter_formats
    for index, value in enumerate(portal.arguments.parameters):
        is_binary = bool(formats) and formats[index if len(formats) > 1 else 0] == 1
        if value and is_shown_parameter(value, is_binary, types[index] if index < len(types) else 0, memory):
            return True
    return False


def _has_shown_literal(text: bytes, memory: MaskedValues | None) -> bool:
    try:
        values = _kept_literals(text) if len(text) <= _KEPT_BYTES_MAX else literal_values(text)
        return any(is_shown(value, memory) for value in values)
    except ValueError:
        return True


@lru_cache(maxsize=_LITERALS_KEPT)
def _kept_literals(text: bytes) -> tuple[str, ...]:
    return tuple(literal_values(text))


def _texts(state: SessionState, text: bytes, facts: StatementFacts) -> list[bytes]:
    """The text of a statement, and those of what it runs by name. Raises: NotSettled."""
    texts, pending, seen = [text], [facts], set[str]()
    while pending:
        for part in parts_within(pending.pop()):
            name = part.subject_name
            if part.verb is not Verb.EXECUTE or name is None or name in seen:
                continue
            seen.add(name)
            prepared = state.registry.statement(name.encode())
            if prepared is not None:
                texts.append(prepared.text)
                pending += [] if prepared.facts is None else [prepared.facts]
    return texts
