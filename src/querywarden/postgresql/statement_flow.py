"""The data flow of a statement: asked of the server where it isn't known, in the client's own session, before the statement is decided.

Only statements that may touch something classified are worth a question, and each text is asked about once in a name space. Where the
server doesn't say, or says what isn't understood, the statement keeps its facts as they are, and names decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from querywarden.model.catalogue import Catalogue
from querywarden.model.data_flow import DataFlow, Unresolved, WantsBodies
from querywarden.model.facts import StatementFacts, Verb
from querywarden.policy.reveals import reveal_of
from querywarden.postgresql.analysis.query_text import QueryText, query_texts
from querywarden.postgresql.analysis.query_tree import data_flow_of
from querywarden.postgresql.analysis.representative import representative
from querywarden.postgresql.data_flows import REFUSED_SECONDS, Key, Known
from querywarden.postgresql.decisions import NO_CATALOGUE
from querywarden.postgresql.error_response import POSITION, ErrorFields, Fields
from querywarden.postgresql.front import Asked, Front
from querywarden.postgresql.function_bodies import body_steps
from querywarden.postgresql.hidden_exchange import SegmentFailed, answered, ask, closing, fail_segment, opening, settle_before
from querywarden.postgresql.judgement_wait import MustWait
from querywarden.postgresql.name_resolution import QUESTION
from querywarden.postgresql.probe import Answer, Group, Probe, Step
from querywarden.postgresql.session_state import SessionState
from querywarden.postgresql.tree_question import TEXT_BYTES_MAX, settings_back, settings_on, settings_on_in_segment, tree_of

_QUERIES = frozenset(
    {
        Verb.SELECT, Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE, Verb.EXPLAIN, Verb.DECLARE, Verb.COPY_OUT, Verb.CREATE,
    }
)  # fmt: skip
"""Statements that are queries, or hold one; PREPARE holds one as well, but it is EXECUTE that runs it."""
_LONG_BYTES = 1024
_ATTEMPTS_MAX = 3
"""Questions about one text whose answers were overtaken by a change of the schema; then names decide."""


def with_flow(
    state: SessionState,
    index: int,
    text: bytes,
    facts: StatementFacts,
    types: tuple[int, ...] = (),
    *,
    holder: Verb | None = None,
    is_extended: bool = False,
    may_ask: bool = True,
) -> StatementFacts:
    """The facts of a statement with its data flow, where that can be known.

    Args: `index` is its place in the message in front; `holder`: it is the body of such a statement, whose text is given; `may_ask` False:
    something before it in the same text may change what it means.
    Raises: MustWait until the server has answered; SegmentFailed where the statement is wrong in a segment that the server has begun.
    """
    if not is_wanted(state, facts):
        return facts
    known = _known(state, text, facts, types)
    if known is not None:
        return known
    if not may_ask or state.now < max(state.context.flows.refused_until, state.names.refused_until):
        return facts
    front = settle_before(state, is_extended)
    if state.transaction == b"E" or index in front.unanswered or front.asked is Asked.PLAN:
        # A plan is only asked for once the data flow was settled: what is settled for this message stays.
        return front.flowing.get(index, facts)
    if state.names.key is None:
        _ask_names(state, front, index)
        known = _known(state, text, facts, types)
        if known is not None or state.names.key is None:
            return known or facts
    _ask_tree(state, front, index, _Asked(text, facts, types, holder))
    found = front.flowing[index] = _known(state, text, facts, types) or facts
    return found


def is_wanted(state: SessionState, facts: StatementFacts) -> bool:
    """Whether a statement's data flow matters: it may touch something classified, and holds a query that the server can be asked about."""
    catalogue = state.catalogue or NO_CATALOGUE
    if not catalogue.has_classified or facts.verb not in _QUERIES:
        return False
    wanted = state.current_verdicts().wanted
    found = wanted.get(facts)
    if found is None:
        policy, database = state.context.policy(), state.context.database
        is_masked = not reveal_of(policy, state.principal, database, catalogue).everything
        found = is_masked and (state.changes.is_opaque or state.changes.has_code or catalogue.touches_classified(facts))
        wanted.keep(facts, found)
    return found


def _known(state: SessionState, text: bytes, facts: StatementFacts, types: tuple[int, ...]) -> StatementFacts | None:
    if state.names.key is None:
        return None
    known = state.context.flows.get(_key(state, text, types))
    if known is None:
        return None
    if known.facts is not facts:
        known.facts, known.flowing = facts, _flowing(facts, known.flow)
    return known.flowing


def _key(state: SessionState, text: bytes, types: tuple[int, ...]) -> Key:
    space = state.names.key or ""
    if state.changes.has_any:
        # What the open transaction has made nobody else can see.
        space = f"{state.context.session_id} {state.names.epoch} {space}"
    return space, (state.catalogue or NO_CATALOGUE).generation, state.context.flows.text_key(text), types


def _flowing(facts: StatementFacts, flow: DataFlow | None) -> StatementFacts:
    return facts if flow is None else replace(facts, flow=flow)


# Questions


@dataclass(frozen=True, slots=True)
class _Asked:
    """The statement in question."""

    text: bytes
    facts: StatementFacts
    types: tuple[int, ...]
    holder: Verb | None

    def cut(self) -> QueryText | None:
        """The query in it."""
        found = query_texts(self.text, self.facts if self.holder is None else replace(self.facts, verb=self.holder))
        if found is None:
            return None
        # Of many rows of constants a few tell all; and what is still long isn't asked about.
        short = representative(found.text) if len(found.text) > _LONG_BYTES else None
        found = found if short is None else replace(found, text=short)
        return found if len(found.text) <= TEXT_BYTES_MAX else None


def _ask_names(state: SessionState, front: Front, index: int) -> None:
    """Ask what names mean now. Raises: MustWait."""
    if front.asked is not Asked.NAMES:
        steps = [QUESTION] if front.is_in_segment else [*opening(state), QUESTION, *closing(state, is_opened=False)]
        ask(state, front, Probe(steps, front.is_in_segment), Asked.NAMES)
    probe = answered(state, front)
    if front.is_in_segment:
        fail_segment(probe)
    answer = probe.answers[0 if front.is_in_segment else len(opening(state))]
    state.names.settle(answer.text(), state.context.session_id)
    if state.names.key is None:
        front.unanswered.add(index)


def _ask_tree(state: SessionState, front: Front, index: int, asked: _Asked) -> None:
    """Ask what the server understands of a statement, and remember it. Raises: MustWait."""
    flows = state.context.flows
    if front.asked is Asked.BODIES:
        bodies = _bodies_of(state, front)
    else:
        answer = _tree_answer(state, front, asked)
        if answer is None:
            front.unanswered.add(index)
            return
        front.tree, bodies = tree_of(answer.notices), {}
    if front.epoch != flows.epoch:
        # A schema change has come between: the answer may be older than it.
        front.attempts += 1
        if front.attempts >= _ATTEMPTS_MAX:
            front.unanswered.add(index)
            return
        _ask_tree(state, front, index, asked)
        return
    found = Unresolved("no_tree") if front.tree is None else data_flow_of([front.tree], _catalogue(state), bodies)
    if isinstance(found, WantsBodies):
        if front.is_in_segment:
            # A body that the server rejects would fail the client's segment.
            front.unanswered.add(index)
            return
        _ask_bodies(state, front, found)
        found = data_flow_of([front.tree or ""], _catalogue(state), dict.fromkeys(found.functions, ""))
    if isinstance(found, DataFlow):
        _know(state, found)
    flow = found if isinstance(found, DataFlow) else None
    state.observe("data_flows", "resolved" if flow is not None else found.reason if isinstance(found, Unresolved) else "function_body")
    flows.keep(_key(state, asked.text, asked.types), Known(flow, asked.facts, _flowing(asked.facts, flow)))


def _tree_answer(state: SessionState, front: Front, asked: _Asked) -> Answer | None:
    """The server's answer to the Parse of a query; None where it gave none, so that nothing is to be remembered."""
    if front.asked is not Asked.TREE:
        cut = asked.cut()
        if cut is None:
            return None
        parse = Step(cut.text, () if cut.has_own_parameters else asked.types, is_parsed_only=True)
        front.epoch = state.context.flows.epoch
        if front.is_in_segment:
            group = [Step(settings_on_in_segment(state.server_major)), parse, Step(settings_back(state.server_major))]
            ask(state, front, Probe([group], True), Asked.TREE)
        on = Step(settings_on(state.server_major))
        ask(state, front, Probe([*opening(state), [on, parse], *closing(state, is_opened=False)]), Asked.TREE)
    probe = answered(state, front)
    first = 0 if front.is_in_segment else len(opening(state))
    settings, answer = probe.answers[first : first + 2]
    if settings.error is None and settings.cells == [None]:
        # Another role that the session has taken on says nothing about other sessions.
        whose = state.context.flows if state.names.is_login_role else state.names
        whose.refused_until = state.now + REFUSED_SECONDS
        state.observe("data_flows", "no_right")
        return None
    if front.is_in_segment and answer.error is not None:
        # Its own Parse would have failed like this.
        raise SegmentFailed(answer.error, _in_the_clients_text(answer.error, asked))
    if front.is_in_segment:
        fail_segment(probe)
    if settings.error is None and answer.error is not None:
        front.wrong = answer.error
    return answer if settings.error is None and answer.error is None else None


def _in_the_clients_text(error: ErrorFields, asked: _Asked) -> Fields:
    """The fields of an error for the client; where it is in the text is left out if what was asked about is a part of the client's."""
    cut = asked.cut()
    is_same = cut is not None and cut.is_whole and asked.facts.start == 0 and asked.text.startswith(cut.text)
    return error.fields if is_same else tuple(field for field in error.fields if field[0] != POSITION)


def _know(state: SessionState, flow: DataFlow) -> None:
    """See to it that the catalogue has what a data flow is made of, unless that was tried before. Raises: MustWait until it has come."""
    catalogue = _catalogue(state)
    unknown = {each for each in flow.relations if each not in catalogue.relations}
    unknown |= {each for each in flow.functions if each not in catalogue.functions}
    if unknown <= state.tried_ids:
        return
    state.tried_ids |= unknown
    state.ask_for_catalogue()
    raise MustWait


def _ask_bodies(state: SessionState, front: Front, wanted: WantsBodies) -> None:
    """Ask about the bodies of functions that the statement calls. Raises: MustWait, unless there is nothing to ask."""
    front.wanted = wanted.functions
    front.bodies = body_steps(_catalogue(state), sorted(wanted.functions))
    if not front.bodies:
        return
    on = Step(settings_on(state.server_major))
    groups: list[Step | Group] = []
    for _, step in front.bodies:
        groups += [*opening(state), [on, step], *closing(state, is_opened=False)]
    ask(state, front, Probe(groups), Asked.BODIES)


def _bodies_of(state: SessionState, front: Front) -> dict[int, str]:
    """The trees of the functions that were asked about, by id."""
    probe = answered(state, front)
    parsed = [answer for answer, step in zip(probe.answers, probe.steps, strict=True) if step.is_parsed_only]
    # What has no tree is code that isn't known.
    found = dict.fromkeys(front.wanted, "")
    for (function, _), answer in zip(front.bodies, parsed, strict=True):
        tree = tree_of(answer.notices) if answer.error is None and not found[function] else None
        if tree is not None:
            found[function] = tree
    return found


def _catalogue(state: SessionState) -> Catalogue:
    return state.catalogue or NO_CATALOGUE
