"""The access watch: expiry and revocation reach open sessions, once, with one question to the store for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from querywarden.errors import DependencyFailure
from querywarden.identity.service_token import ServiceToken, issue_service_token
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.runtime.access_watch import EXPIRED, REVOKED, STALE_SECONDS_MAX, UNKNOWN, AccessWatch

NOW = 1_900_000_000
TOKEN = issue_service_token(bytes(40), name="bot", owner="alice", kind=PrincipalKind.AGENT, now=NOW)[1]
BOT = Principal("bot", "querywarden", PrincipalKind.AGENT, credential_id=TOKEN.id, method="service_token")
PERSON = Principal("alice", "https://idp.example.com", PrincipalKind.HUMAN, credential_id=TOKEN.id, expires_at=NOW + 100)


class World:
    """A watch with a store in memory and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = float(NOW)
        self.tokens: dict[str, ServiceToken] = {TOKEN.id: TOKEN}
        self.asked: list[list[str]] = []
        self.is_down = False
        self.told: list[tuple[str, str]] = []
        self.watch = AccessWatch(self, clock=lambda: self.now)

    def find_tokens(self, token_ids: Sequence[str]) -> Mapping[str, ServiceToken]:
        self.asked.append(list(token_ids))
        if self.is_down:
            raise DependencyFailure("the control store does not answer: OperationalError")
        return {token_id: self.tokens[token_id] for token_id in token_ids if token_id in self.tokens}

    def add(self, name: str, principal: Principal) -> object:
        return self.watch.watch(principal, lambda sentence: self.told.append((name, sentence)))


@pytest.fixture
def world() -> World:
    return World()


async def test_valid_sessions_hear_nothing(world: World) -> None:
    world.add("bot", BOT)
    world.add("person", PERSON)
    await world.watch.look()
    assert world.told == []


async def test_expired_session_hears_it_once(world: World) -> None:
    world.add("person", PERSON)
    world.now = NOW + 99.9
    await world.watch.look()
    assert world.told == []
    world.now = NOW + 100
    await world.watch.look()
    await world.watch.look()
    assert world.told == [("person", EXPIRED)]


async def test_people_cost_the_store_nothing(world: World) -> None:
    world.add("person", PERSON)
    await world.watch.look()
    assert world.asked == []


async def test_revocation_reaches_every_session_of_the_token_with_one_question(world: World) -> None:
    for name in ("a", "b", "c"):
        world.add(name, BOT)
    world.tokens[TOKEN.id] = replace(TOKEN, revoked_at=NOW)
    await world.watch.look()
    assert world.told == [("a", REVOKED), ("b", REVOKED), ("c", REVOKED)]
    assert world.asked == [[TOKEN.id]]


async def test_token_that_has_vanished_is_revoked(world: World) -> None:
    world.add("bot", BOT)
    world.tokens.clear()
    await world.watch.look()
    assert world.told == [("bot", REVOKED)]


async def test_shortened_expiry_of_a_token_counts(world: World) -> None:
    world.add("bot", BOT)
    world.tokens[TOKEN.id] = replace(TOKEN, expires_at=NOW)
    await world.watch.look()
    assert world.told == [("bot", EXPIRED)]


async def test_closed_session_is_forgotten(world: World) -> None:
    forget = world.add("bot", BOT)
    assert callable(forget)
    forget()
    forget()
    world.tokens.clear()
    await world.watch.look()
    assert (world.told, world.asked) == ([], [])


async def test_store_that_does_not_answer_is_borne_for_a_bounded_time(world: World) -> None:
    world.add("bot", BOT)
    world.add("person", replace(PERSON, expires_at=None))
    world.is_down = True
    await world.watch.look()
    world.now += STALE_SECONDS_MAX - 1
    await world.watch.look()
    assert world.told == []
    world.now += 1
    await world.watch.look()
    assert world.told == [("bot", UNKNOWN)]


async def test_answer_in_between_starts_the_time_anew(world: World) -> None:
    world.add("bot", BOT)
    for is_down in (True, False, True):
        world.is_down = is_down
        await world.watch.look()
        world.now += STALE_SECONDS_MAX - 1
    await world.watch.look()
    assert world.told == []


async def test_expiry_needs_no_store(world: World) -> None:
    world.add("bot", replace(BOT, expires_at=NOW + 1))
    world.is_down = True
    world.now += 1
    await world.watch.look()
    assert world.told == [("bot", EXPIRED)]


async def test_session_that_logs_in_during_a_look_waits_for_the_next(world: World) -> None:
    other = replace(BOT, credential_id="another")
    world.add("bot", BOT)
    answer = world.find_tokens

    def slow(token_ids: Sequence[str]) -> Mapping[str, ServiceToken]:
        world.add("late", other)
        return answer(token_ids)

    world.find_tokens = slow  # type: ignore[method-assign]
    await world.watch.look()
    assert world.told == []
    world.find_tokens = answer  # type: ignore[method-assign]
    await world.watch.look()
    assert world.told == [("late", REVOKED)]


async def test_without_a_store_no_service_token_is_good(world: World) -> None:
    world.watch = AccessWatch(None, clock=lambda: world.now)
    world.add("bot", BOT)
    world.add("person", PERSON)
    await world.watch.look()
    assert world.told == [("bot", REVOKED)]
