"""The planner's estimate: what is read from a plan and from the server's settings."""

from __future__ import annotations

import json

import pytest
from tests.model.statement_desk import split

from querywarden.postgresql.front import Planned
from querywarden.postgresql.planner import duration, planned, rows_of
from querywarden.postgresql.probe import NAME, Answer, Probe, Step


def modify(*fed: int) -> dict[str, object]:
    return {
        "Node Type": "ModifyTable",
        "Plan Rows": 0,
        "Plans": [{"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Plan Rows": rows} for rows in fed],
    }


@pytest.mark.parametrize(
    ("plan", "rows"),
    [
        ({"Node Type": "Seq Scan", "Plan Rows": 42}, 42),
        (modify(1000), 1000),
        (modify(10, 20), 30),
        ({"Node Type": "CTE Scan", "Plan Rows": 1, "Plans": [modify(5000)]}, 5000),
        ({"Node Type": "Result"}, 0),
    ],
)
def test_rows_of_a_plan(plan: dict[str, object], rows: int) -> None:
    assert rows == rows_of(json.loads(json.dumps(plan)))


def test_an_initial_plan_is_not_what_is_changed() -> None:
    plan = modify(3)
    plan["Plans"] = [*plan["Plans"], {"Node Type": "Aggregate", "Parent Relationship": "InitPlan", "Plan Rows": 900}]  # type: ignore[misc]
    assert 3 == rows_of(plan)


@pytest.mark.parametrize(
    ("shown", "seconds"),
    [("0", 0.0), ("30s", 30.0), ("5min", 300.0), ("1h", 3600.0), ("1500ms", 1.5), ("250", 0.25), ("1d", 86400.0), ("x", 0)],
)
def test_duration_of_a_setting(shown: str, seconds: float) -> None:
    assert seconds == duration(shown)


def test_a_probe_in_a_segment_has_one_step() -> None:
    with pytest.raises(ValueError, match="one group"):
        Probe([Step(b"SELECT 1"), Step(b"SELECT 2")], is_in_segment=True)


def test_the_largest_of_the_plans_of_a_rewritten_statement_counts() -> None:
    plans = [{"Plan": modify(2)}, "Utility Statement", {"Utility Statement": "NOTIFY"}, {"Plan": modify(700)}, {"Plan": modify(3)}]
    answer = Answer([json.dumps(plans).encode()])
    assert 700 == planned(answer).rows


@pytest.mark.parametrize("text", ["[]", "{", '[{"Plan": 5}]', '["Utility Statement"]', "null"])
def test_what_is_no_plan_is_unknown(text: str) -> None:
    assert planned(Answer([text.encode()])) == Planned()


def test_a_step_clears_away_what_the_one_before_it_may_have_left() -> None:
    messages = split(Probe([Step(b"ROLLBACK")]).data)
    assert "CCPBECCS" == "".join(kind for kind, _ in messages)
    assert {b"P" + NAME + b"\0", b"S" + NAME + b"\0"} == {body for kind, body in messages[:2]}


@pytest.mark.parametrize("rows", ["1e30", "9007199254740993", "1e308"])
def test_an_estimate_beyond_all_bounds_is_still_a_number_that_can_be_recorded(rows: str) -> None:
    answer = Answer([f'[{{"Plan": {{"Node Type": "Nested Loop", "Plan Rows": {rows}}}}}]'.encode()])
    assert 10**15 == planned(answer).rows
