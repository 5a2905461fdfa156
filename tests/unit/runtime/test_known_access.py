"""What is known of blocks and grants: who is covered, for how long, and what a reading under way can't undo."""

from __future__ import annotations

from dataclasses import replace

import pytest

from querywarden.approval.request import party_of
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.runtime.known_access import GIVEN_HERE_SECONDS, KnownAccess
from querywarden.storage.control_store import AccessGrant, Block

ALICE = Principal("alice", "https://idp", PrincipalKind.HUMAN, frozenset({"engineers"}))
ROBOT = Principal("alice", "https://idp", PrincipalKind.AGENT, actors=(Actor("robot", "https://idp"),))
GRANT = AccessGrant("G1", "alice", "https://idp", "oncall", "shop", 100, 200, "erin")


def known(blocks: tuple[Block, ...] = (), grants: tuple[AccessGrant, ...] = ()) -> KnownAccess:
    known = KnownAccess()
    known.update(blocks, grants, 100.0)
    return known


@pytest.mark.parametrize(
    ("block", "principal", "expected"),
    [
        (Block(1, "alice", None, "op", "", 0), ALICE, True),
        (Block(1, "alice", "https://idp", "op", "", 0), ALICE, True),
        (Block(1, "alice", "https://other", "op", "", 0), ALICE, False),
        (Block(1, "robot", None, "op", "", 0), ROBOT, True),
        (Block(1, "alice", None, "op", "", 0), ROBOT, True),
        (Block(1, "robot", None, "op", "", 0), ALICE, False),
        (Block(1, "alice", None, "op", "", 0, until=150), ALICE, True),
        (Block(1, "alice", None, "op", "", 0, until=149), ALICE, False),
    ],
)
def test_blocks_cover_everybody_who_takes_part(block: Block, principal: Principal, expected: bool) -> None:
    assert known((block,)).is_blocked(principal, 149.5) is expected
    assert known((block,)).is_blocked(party_of(principal), 149.5) is expected


def test_nobody_is_blocked_where_nothing_is_known() -> None:
    assert not KnownAccess().is_blocked(ALICE, 0)
    assert KnownAccess().principal_now(ALICE, 0) is ALICE


@pytest.mark.parametrize(("now", "is_live"), [(99.9, False), (100, True), (199.9, True), (200, False)])
def test_a_grant_holds_for_its_time(now: float, is_live: bool) -> None:
    found = known(grants=(GRANT,))
    assert found.granted_groups(ALICE, now) == (frozenset({"oncall"}) if is_live else frozenset())
    assert found.granted_databases(ALICE, now) == (frozenset({"shop"}) if is_live else frozenset())
    expected = replace(ALICE, groups=frozenset({"engineers", "oncall"})) if is_live else ALICE
    assert found.principal_now(ALICE, now) == expected


def test_a_grant_is_for_exactly_who_asked() -> None:
    found = known(grants=(GRANT,))
    assert found.principal_now(ROBOT, 150) is ROBOT
    assert found.granted_groups(replace(ALICE, issuer="https://other"), 150) == frozenset()


def test_a_grant_given_here_outlives_a_reading_that_was_under_way() -> None:
    found = known()
    found.add_grant(GRANT)
    assert found.granted_groups(ALICE, 100.5) == {"oncall"}
    found.update((), (), 100.5)
    assert found.granted_groups(ALICE, 101) == {"oncall"}
    found.update((), (), 100 + GIVEN_HERE_SECONDS)
    assert found.granted_groups(ALICE, 104) == frozenset()


def test_what_the_store_has_said_once_it_alone_decides() -> None:
    found = known()
    found.add_grant(GRANT)
    found.update((), (GRANT,), 100.4)
    found.update((), (), 100.8)
    assert found.granted_groups(ALICE, 101) == frozenset()
