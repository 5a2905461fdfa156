"""Memories of masks: one for each principal and database, and no more than there is room for."""

from __future__ import annotations

from querywarden.model.principal import Principal, PrincipalKind
from querywarden.runtime.masked_memory import MaskedMemory

MASK = b"+49 151 2345 6789"


def person(subject: str, issuer: str = "https://issuer.test") -> Principal:
    return Principal(subject, issuer, PrincipalKind.HUMAN)


def test_a_memory_is_made_when_a_mask_is_shown_and_not_before() -> None:
    memories = MaskedMemory(bytes(16))
    assert memories.of("shop", person("ann"), False) is None
    assert 0 == len(memories)
    made = memories.of("shop", person("ann"), True)
    assert made is not None
    made.remember(MASK)
    again = memories.of("shop", person("ann"), False)
    assert again is made
    assert again.knows(MASK)


def test_each_principal_and_database_has_its_own() -> None:
    memories = MaskedMemory(bytes(16))
    made = memories.of("shop", person("ann"), True)
    assert made is not None
    made.remember(MASK)
    for database, principal in (("shop", person("bob")), ("people", person("ann")), ("shop", person("ann", "https://other.test"))):
        assert memories.of(database, principal, False) is None
        other = memories.of(database, principal, True)
        assert other is not None
        assert not other.knows(MASK)


def test_a_delegated_session_shares_the_memory_of_who_it_acts_for() -> None:
    memories = MaskedMemory(bytes(16))
    made = memories.of("shop", person("ann"), True)
    agent = Principal("ann", "https://issuer.test", PrincipalKind.AGENT, frozenset({"engineers"}))
    assert memories.of("shop", agent, False) is made


def test_the_one_used_longest_ago_makes_room() -> None:
    memories = MaskedMemory(bytes(16), memories_max=2)
    ann = memories.of("shop", person("ann"), True)
    memories.of("shop", person("bob"), True)
    assert memories.of("shop", person("ann"), False) is ann
    memories.of("shop", person("cec"), True)
    assert 2 == len(memories)
    assert memories.of("shop", person("ann"), False) is ann
    assert memories.of("shop", person("bob"), False) is None
