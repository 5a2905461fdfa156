"""Verdicts are kept for the very facts they were made for, and only while what they rest on is the same."""

from __future__ import annotations

import dataclasses

import pytest

from querywarden.model.catalogue import Catalogue
from querywarden.model.facts import StatementFacts, Verb
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.policy.baseline import BASELINE
from querywarden.postgresql.verdicts import STATEMENTS_KEPT_MAX, TEXT_CHARACTERS_MAX, ByFacts, Verdicts

FACTS = StatementFacts(Verb.SELECT, "SELECT ?")
PRINCIPAL = Principal("alice", "https://idp.example", PrincipalKind.HUMAN)
CATALOGUE = Catalogue(generation="g", relations={})


def test_equal_facts_are_not_the_same_facts() -> None:
    kept: ByFacts[int] = ByFacts()
    kept.keep(FACTS, 1)
    assert kept.get(FACTS) == 1
    assert kept.get(dataclasses.replace(FACTS)) is None


def test_what_is_kept_is_bounded_in_number_and_in_length() -> None:
    kept: ByFacts[int] = ByFacts()
    statements = [StatementFacts(Verb.SELECT, f"SELECT {i}") for i in range(STATEMENTS_KEPT_MAX + 1)]
    for number, facts in enumerate(statements):
        kept.keep(facts, number)
    assert [number for number, facts in enumerate(statements) if kept.get(facts) is not None] == [STATEMENTS_KEPT_MAX]
    long = StatementFacts(Verb.SELECT, "x" * (TEXT_CHARACTERS_MAX + 1))
    kept.keep(long, 1)
    assert kept.get(long) is None


@pytest.mark.parametrize(
    "change",
    [
        {"policy": dataclasses.replace(BASELINE)},
        {"phase": 1},
        {"principal": dataclasses.replace(PRINCIPAL)},
        {"catalogue": Catalogue(generation="g", relations={})},
        {"catalogue": None},
        {"is_opaque": True},
        {"has_code": True},
    ],
)
def test_verdicts_are_forgotten_with_what_they_rest_on(change: dict[str, object]) -> None:
    verdicts = Verdicts()
    basis: dict[str, object] = {
        "policy": BASELINE,
        "phase": 0,
        "principal": PRINCIPAL,
        "catalogue": CATALOGUE,
        "is_opaque": False,
        "has_code": False,
    }
    verdicts.rest_on(**basis)  # type: ignore[arg-type]
    verdicts.known.keep(FACTS, True)
    verdicts.rest_on(**basis)  # type: ignore[arg-type]
    assert verdicts.known.get(FACTS)
    verdicts.rest_on(**basis | change)  # type: ignore[arg-type]
    assert verdicts.known.get(FACTS) is None
