"""Decisions on statements in a session: the policy's answer to each, with what an open transaction has made uncertain on the side of no.

Answers are kept with the session's verdicts as long as what they rest on is the same; those that hang on the planner's estimate are given
anew for each statement.
"""

from __future__ import annotations

from dataclasses import replace

from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Estimate
from querywarden.model.facts import StatementFacts, Verb
from querywarden.model.resource import RelationName
from querywarden.policy import evaluate
from querywarden.postgresql.planner import plan_of
from querywarden.postgresql.prepared import Portal
from querywarden.postgresql.session_state import SessionState
from querywarden.postgresql.verdicts import Verdict

UNCOMMITTED = RelationName("querywarden", "an uncommitted schema change")
"""Stands for what an open transaction may have renamed or made: a relation that no catalogue has."""

NO_CATALOGUE = Catalogue(generation="none", relations={})


def basis_of(state: SessionState) -> tuple[object, ...]:
    """What a decision rests on: it is made again when any of this has changed."""
    generation = None if state.catalogue is None else state.catalogue.generation
    policy = state.context.policy()
    return (policy.version, policy.phase(state.now), state.principal, generation, state.changes.is_opaque, state.changes.has_code)


def verdict_on(state: SessionState, facts: StatementFacts, writes_back: bool = False) -> Verdict:
    """The policy's answer to one statement, as far as it can be given without an estimate.

    Args: `writes_back` as for `evaluate.Request`; that hangs on the statement's values, so such an answer isn't kept.
    """
    if writes_back:
        return _judged(state, facts, None, writes_back=True)
    verdicts = state.current_verdicts()
    found = verdicts.decisions.get(facts)
    if found is None:
        found = _judged(state, facts, None)
        verdicts.decisions.keep(facts, found)
    return found


def decided(state: SessionState, verdict: Verdict, index: int, text: bytes, facts: StatementFacts, portal: Portal | None) -> Verdict:
    """A verdict with the planner's estimate taken into account, where it hangs on that.

    Raises: MustWait until the server has been asked.
    """
    if not verdict.wants_estimate:
        return verdict
    rows = plan_of(state, index, text, facts, portal).rows
    return _judged(state, facts, Estimate(rows), verdict.writes_back)


def undeterminable(state: SessionState, verdict: Verdict, facts: StatementFacts) -> Verdict:
    """The same where no estimate can be had, so that the number of rows is unknown."""
    return _judged(state, facts, Estimate(None), verdict.writes_back) if verdict.wants_estimate else verdict


def _judged(state: SessionState, facts: StatementFacts, estimate: Estimate | None, writes_back: bool = False) -> Verdict:
    catalogue = state.catalogue or NO_CATALOGUE
    is_blind = state.changes.is_opaque or state.changes.has_code
    meant = _as_meant(state, facts)
    request = evaluate.Request(state.principal, state.context.database, meant, catalogue, is_blind, estimate, state.now, writes_back)
    judgement = evaluate.judge(state.context.policy(), request)
    properties = sorted({each.value for part in judgement.parts for each in part.part.properties})
    rows = None if estimate is None else estimate.rows
    return Verdict(judgement.decision, judgement.wants_estimate, tuple(properties), rows, writes_back)


def _as_meant(state: SessionState, facts: StatementFacts) -> StatementFacts:
    """A statement as it is judged.

    pg_dump switches row-level security off, so as to get an error where rows would be missing from the dump: nobody sees more rows by that,
    whoever calls himself pg_dump. From others it is refused as what it mostly is, an attempt.
    """
    if not state.is_dump or facts.verb is not Verb.SET:
        return facts
    return replace(facts, settings=tuple(change for change in facts.settings if change.name != "row_security"))


def touches_classified(state: SessionState, shown: StatementFacts | None) -> bool:
    """Whether classified values may take part in a statement; errs towards yes."""
    catalogue = state.catalogue or NO_CATALOGUE
    if shown is None or (shown.flow is None and (state.changes.is_opaque or state.changes.has_code)):
        return catalogue.has_classified
    return catalogue.touches_classified(shown)


def facts_for_masks(state: SessionState, shown: StatementFacts | None) -> StatementFacts | None:
    """The facts that the masks of a result follow, with an open schema change taken into account."""
    if (
        shown is None
        or shown.flow is not None
        or shown.verb in (Verb.SHOW, Verb.EXPLAIN)
        or not (state.changes.is_opaque or state.changes.has_code)
    ):
        return shown
    if state.changes.has_code:
        return None
    return replace(shown, reads=shown.reads | {UNCOMMITTED}, from_is_plain=False)
