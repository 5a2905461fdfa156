"""The check of write-backs: whether a statement would store a mask, which its principal was shown, in place of a real value.

Only statements that store values of the client's choice in columns that the principal may not see are looked at: their literals, those of
the statement that they run by name, and their parameters. What can't be read counts as a mask.
"""

from __future__ import annotations

from functools import partial

from querywarden.errors import ReasonCode
from querywarden.masking.write_back import MaskedValues
from querywarden.model.facts import StatementFacts, Verb
from querywarden.policy.hidden_writes import takes_client_values_for_hidden
from querywarden.policy.laundering import parts_within
from querywarden.policy.reveals import reveal_of
from querywarden.postgresql.bind_scan import BindScan
from querywarden.postgresql.decisions import NO_CATALOGUE
from querywarden.postgresql.prepared import Portal, Prepared
from querywarden.postgresql.refusal import Refusal, refusal_for
from querywarden.postgresql.session_state import SessionState
from querywarden.postgresql.shown_literals import has_shown_literal, is_readable
from querywarden.postgresql.shown_values import is_shown_parameter


def look_for_masks(state: SessionState, text: bytes, facts: StatementFacts, portal: Portal | None = None) -> bool | Refusal:
    """Whether a statement stores a masked value, as far as can be told; the refusal of one that is too large to be looked at.

    Args: `facts` are those that it is decided by. A portal's parameters have to be there, as `keeps_arguments` says.
    Raises: NotSettled.
    """
    if not takes_hidden(state, facts):
        return False
    # What a COPY stores comes behind it; its text has nothing of it.
    texts = [] if facts.verb is Verb.COPY_IN else _texts(state, text, facts)
    unseen = _unseen(state, texts, portal)
    if unseen is not None:
        return unseen
    memory = state.context.remembered(state.principal, False)
    return (portal is not None and _has_shown_parameter(portal, memory)) or any(has_shown_literal(each, memory) for each in texts)


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
    return takes_hidden(state, prepared.understood) or (prepared.understood is not facts and takes_hidden(state, facts))


def scan_of(state: SessionState, prepared: Prepared) -> BindScan:
    """The scan of a Bind in pieces."""
    return BindScan(prepared.parameter_types, partial(is_shown_parameter, memory=state.context.remembered(state.principal, False)))


def _unseen(state: SessionState, texts: list[bytes], portal: Portal | None) -> Refusal | None:
    """The refusal of a statement whose text or parameters are too large to be looked at."""
    if not all(map(is_readable, texts)):
        sentence = "this statement stores values in masked columns, and is too long to be looked at for masked values"
        hint = "Split it, send the values as parameters, or leave masked columns out."
    elif portal is not None and _lacks_arguments(portal):
        sentence = "this statement stores values in masked columns, and its parameters can't be looked at for masked values"
        hint = "Prepare and bind it again; send arrays and documents of less than a megabyte each."
    else:
        return None
    return refusal_for(ReasonCode.MASKED_WRITE_BACK, state.new_audit_id(), sentence, hint)


def _lacks_arguments(portal: Portal) -> bool:
    if not portal.parameters or portal.arguments is not None:
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
