"""Labels and names that classes rest on are not taken away by those who may not see what is under them."""

from __future__ import annotations

import pytest

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.decision import Deny
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.baseline import BASELINE
from querywarden.policy.evaluate import Request, decide
from querywarden.postgresql.analysis import analyse

ALICE = Principal("alice", "https://idp.example", PrincipalKind.HUMAN)
COLUMNS = {
    1: Column(1, "id", "int4"),
    2: Column(2, "email", "text", Classification(DataClass.EMAIL, "name")),
    3: Column(3, "x", "text", Classification(DataClass.SECRET, "comment")),
}
CATALOGUE = Catalogue(
    "1",
    {
        1: Relation(1, "public", "people", "table", COLUMNS),
        2: Relation(2, "public", "parts", "table", {1: Column(1, "id", "int4")}),
    },
)


def rule(text: str, environment: Environment = Environment.DEVELOPMENT) -> str | None:
    found = analyse(text.encode())
    assert isinstance(found, tuple)
    decision = decide(BASELINE, Request(ALICE, Database("shop", environment), found[0], CATALOGUE))
    return decision.rule if isinstance(decision, Deny) else None


@pytest.mark.parametrize(
    "text",
    [
        "COMMENT ON COLUMN people.x IS NULL", "COMMENT ON COLUMN public.people.x IS 'plain words'",
        "COMMENT ON COLUMN people.email IS 'querywarden: none'", "COMMENT ON COLUMN people.email IS 'PII = no'",
        "ALTER TABLE people RENAME TO things", "ALTER TABLE public.people SET SCHEMA other", "ALTER TABLE people RENAME COLUMN email TO y",
    ],
)  # fmt: skip
def test_what_would_show_hidden_columns_is_refused(text: str) -> None:
    assert rule(text) == "baseline.classified_write"


@pytest.mark.parametrize(
    "text",
    [
        "COMMENT ON COLUMN people.email IS 'how to reach them'", "COMMENT ON COLUMN people.email IS NULL",
        "COMMENT ON COLUMN people.id IS NULL",
        "COMMENT ON TABLE people IS 'querywarden: none'", "COMMENT ON COLUMN parts.id IS 'querywarden: none'",
        "ALTER TABLE parts RENAME TO pieces", "ALTER TABLE parts SET SCHEMA other", "ALTER TABLE people ADD COLUMN y int",
    ],
)  # fmt: skip
def test_other_comments_and_names_are_free(text: str) -> None:
    assert rule(text) is None
