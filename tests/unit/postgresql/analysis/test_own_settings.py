"""What a client may say to the proxy by SET, and that everything else under that name stays closed."""

from __future__ import annotations

import pytest

from querywarden.model.facts import Hazard, SettingChange, StatementFacts
from querywarden.postgresql.analysis import analyse
from querywarden.postgresql.analysis.settings import REASON_CHARACTERS_MAX


def facts_of(text: str) -> StatementFacts:
    """The facts of a text of one statement."""
    analysis = analyse(text.encode())
    assert isinstance(analysis, tuple), (text, analysis)
    return analysis[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set querywarden.reason = 'ticket 7'", SettingChange("querywarden.reason", "ticket 7", False)),
        ("set session querywarden.reason to 7", SettingChange("querywarden.reason", "7", False)),
        ("set local querywarden.reason = 'x'", SettingChange("querywarden.reason", "x", True)),
        ('set "QueryWarden".REASON = \'x\'', SettingChange("querywarden.reason", "x", False)),
        ("set querywarden.reason = 'a\n\t b\x1b'", SettingChange("querywarden.reason", "a b", False)),
        ("set querywarden.reason = ''", SettingChange("querywarden.reason", "", False)),
        (f"set querywarden.reason = '{'é' * 900}'", SettingChange("querywarden.reason", "é" * REASON_CHARACTERS_MAX, False)),
        ("set querywarden.hold = 'wait'", SettingChange("querywarden.hold", "wait", False)),
        ("set local querywarden.hold to FAIL", SettingChange("querywarden.hold", "fail", True)),
        ("set querywarden.hold = 'Fail'", SettingChange("querywarden.hold", "fail", False)),
        ("set querywarden.hold to default", SettingChange("querywarden.hold", None, False)),
        ("reset querywarden.hold", SettingChange("querywarden.hold", None, False)),
        ("reset querywarden.reason", SettingChange("querywarden.reason", None, False)),
    ],
)
def test_the_reason_and_the_way_to_be_held_are_the_clients(text: str, expected: SettingChange) -> None:
    facts = facts_of(text)

    assert (expected,) == facts.settings
    assert frozenset() == facts.hazards
    assert "ticket" not in facts.normalised


@pytest.mark.parametrize(
    "text",
    [
        "set querywarden.hold = 'never'",
        "set querywarden.hold = ''",
        "set querywarden.hold = 'wait', 'fail'",
        "set querywarden.reason = a, b",
        "set querywarden.holds = 'wait'",
        "set querywarden.subject = 'x'",
        "reset querywarden.subject",
        "set querywarden.groups to default",
        "select set_config('querywarden.reason', 'x', false)",
        "select set_config('querywarden.hold', 'wait', true)",
        "select set_config('querywarden.reason', email, true) from users",
        "alter role r set querywarden.hold = 'wait'",
        "alter role r set querywarden.reason from current",
        "alter database d set querywarden.reason = 'x'",
        "alter system set querywarden.reason = 'x'",
        "create function f() returns int language sql set querywarden.reason = 'x' as 'select 1'",
        "alter function f() set querywarden.hold = 'wait'",
    ],
)
def test_all_else_under_that_name_is_refused(text: str) -> None:
    assert not facts_of(text).hazards.isdisjoint({Hazard.ANALYSIS_SETTING, Hazard.SERVER_ADMIN})
