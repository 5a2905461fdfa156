"""The planner's estimate: EXPLAIN of a statement that is not decided yet, asked in the client's own session and hidden from it.

Asked once everything before the statement has been answered: outside a transaction in a read-only one of our own, inside one under a
savepoint that is made read-only, and rolled back; with a time-out. In the middle of a segment that the server has begun to work on there
is neither, so EXPLAIN stands alone. Nothing is executed: EXPLAIN plans. Of EXECUTE it would run the arguments, so these must be plain.
Spec: PostgreSQL 18, "EXPLAIN", "Pipelining"; the transaction's mode comes back with the end of the subtransaction.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

from querywarden.model.facts import StatementFacts, Verb
from querywarden.postgresql.front import Asked, Front, IdleLimit, Planned
from querywarden.postgresql.hidden_exchange import answered, ask, closing, fail_segment, limited_opening, settle_before
from querywarden.postgresql.name_space import name_space_step
from querywarden.postgresql.prepared import Portal
from querywarden.postgresql.probe import Answer, Probe, Step
from querywarden.postgresql.session_state import IDLE, SessionState

ROWS_MAX = 10**15
"""An estimate above this says no more than that, and stays a number that every reader of the log can hold."""
PLAN_CHARACTERS_MAX = 64 * 1024
"""A plan longer than this is not shown to approvers; its estimate counts all the same."""

_EXPLAINABLE = frozenset({Verb.SELECT, Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE, Verb.EXECUTE, Verb.DECLARE})
_TRANSACTION_TIMEOUT_SINCE = 17
_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?")
_UNIT_SECONDS = {None: 0.001, "us": 1e-6, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def plan_of(state: SessionState, index: int, text: bytes, facts: StatementFacts, portal: Portal | None) -> Planned:
    """What the planner expects of a statement, the one at this place of the message in front.

    Raises: MustWait until the server has answered.
    """
    front = settle_before(state, portal is not None)
    known = front.planned.get(index)
    if known is not None:
        return known
    step = None if _runs_arguments(state, text, facts, portal) else explain_step(text, facts, portal)
    if step is None or state.transaction == b"E":
        found = front.planned[index] = Planned()
        return found
    if front.probe is None:
        ask(
            state,
            front,
            Probe([step], True) if front.is_in_segment else Probe([*limited_opening(state), step, *closing(state)]),
            Asked.PLAN,
        )
    probe = answered(state, front)
    found = front.planned[index] = planned(probe.answers[0 if front.is_in_segment else len(limited_opening(state))])
    if front.is_in_segment:
        fail_segment(probe)
    return found


def ask_settings(state: SessionState, front: Front, held: Sequence[StatementFacts]) -> None:
    """See what held statements mean to the server besides their text, and how long it lets the session idle while they are held.

    Raises: MustWait until the server has answered.
    """
    if front.has_settings:
        return
    if front.probe is None:
        step = name_space_step(held)
        shows = [Step(b"SHOW " + name.encode()) for name in _settings(state)]
        # What may fail comes last.
        steps = [*limited_opening(state), *shows, step, *closing(state)]
        ask(state, front, Probe([step], True) if front.is_in_segment else Probe(steps), Asked.PLAN)
    probe = answered(state, front)
    front.has_settings = True
    if front.is_in_segment:
        fail_segment(probe)
        front.name_space = probe.answers[0].text()
    else:
        answers = probe.answers[len(limited_opening(state)) :]
        front.idle_limit = _idle_limit(state, answers)
        front.name_space = answers[len(_settings(state))].text()


def explain_step(text: bytes, facts: StatementFacts, portal: Portal | None) -> Step | None:
    """The step that asks for a statement's plan; None where it has none, or its parameters aren't known any more."""
    if facts.verb not in _EXPLAINABLE or not text:
        return None
    explain = b"EXPLAIN (FORMAT JSON) " + text
    if portal is None:
        return Step(explain)
    arguments = portal.arguments
    if arguments is None or portal.prepared is None or portal.prepared.is_of_sql:
        return None
    return Step(explain, portal.prepared.parameter_types, arguments.parameter_formats, arguments.parameters)


def _runs_arguments(state: SessionState, text: bytes, facts: StatementFacts, portal: Portal | None) -> bool:
    """Whether EXPLAIN would run something: the arguments of EXECUTE, unless they are constants."""
    if facts.verb is not Verb.EXECUTE:
        return False
    if portal is not None and portal.prepared is not None and portal.prepared.facts is not None:
        own = portal.prepared.facts
    else:
        found = state.context.analyse(text) if len(text) <= state.context.limits.analysis_inline_bytes_max else None
        if not isinstance(found, tuple) or len(found) != 1:
            return True
        own = found[0]
    return bool(own.functions or own.operators or own.cast_types)


def _settings(state: SessionState) -> list[str]:
    if state.transaction == IDLE:
        return ["idle_session_timeout"]
    names = ["idle_in_transaction_session_timeout"]
    return [*names, "transaction_timeout"] if state.server_major >= _TRANSACTION_TIMEOUT_SINCE else names


def _idle_limit(state: SessionState, answers: list[Answer]) -> IdleLimit | None:
    """The shortest of the server's time-outs that runs while nothing is sent."""
    found = []
    for name, answer in zip(_settings(state), answers, strict=False):
        seconds = duration(answer.text() or "0")
        if seconds:
            found.append(IdleLimit(seconds, name))
    return min(found, key=lambda limit: limit.seconds, default=None)


def duration(text: str) -> float:
    """The seconds of a setting's value as SHOW gives it, such as `30s` or `5min`; 0 for none."""
    match = _DURATION.fullmatch(text.strip())
    return 0.0 if match is None else max(0.0, float(match[1]) * _UNIT_SECONDS[match[2]])


def planned(answer: Answer) -> Planned:
    """What an answer to EXPLAIN tells; nothing where it is an error or no plan."""
    text = answer.text()
    if text is None:
        return Planned()
    try:
        # A rule of a rewritten table adds statements; of those that aren't planned, such as NOTIFY, there is only the name.
        plans = [each["Plan"] for each in orjson.loads(text) if isinstance(each, dict) and "Plan" in each]
        rows = min(max(map(rows_of, plans)), ROWS_MAX)
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return Planned()
    return Planned(rows, text if len(text) <= PLAN_CHARACTERS_MAX else None)


def rows_of(plan: dict[str, object]) -> int:
    """The rows that a plan returns or, where it changes rows, the most that one of its steps changes.

    A ModifyTable counts no rows of its own without RETURNING: what it is fed with is what it changes.
    """
    best = _number(plan)
    pending = [plan]
    while pending:
        node = pending.pop()
        children = [child for child in _children(node) if isinstance(child, dict)]
        if node.get("Node Type") == "ModifyTable":
            fed = sum(_number(child) for child in children if child.get("Parent Relationship") in ("Outer", "Member"))
            best = max(best, fed)
        pending.extend(children)
    return best


def _children(node: dict[str, object]) -> list[object]:
    children = node.get("Plans", [])
    return children if isinstance(children, list) else []


def _number(node: dict[str, object]) -> int:
    rows = node.get("Plan Rows", 0)
    return min(int(rows), ROWS_MAX) if isinstance(rows, (int, float)) else 0
