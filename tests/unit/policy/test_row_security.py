"""Row-level security is switched off only where nothing is classified: pg_dump needs it there."""

import pytest

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.decision import Allow
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.baseline import BASELINE
from querywarden.policy.evaluate import Request, decide
from querywarden.postgresql.analysis import analyse

ALICE = Principal("alice", "https://idp.example", PrincipalKind.HUMAN)
SHOP = Database("shop", Environment.PRODUCTION)
USERS = Relation(1, "public", "users", "table", {1: Column(1, "email", "text", Classification(DataClass.EMAIL, "name"))})


def decision(text: str, *relations: Relation) -> object:
    analysis = analyse(text.encode())
    assert isinstance(analysis, tuple)
    return decide(BASELINE, Request(ALICE, SHOP, analysis[0], Catalogue("1", {r.id: r for r in relations})))


OFF = ("SET row_security = off", "SET LOCAL row_security TO 'no'", "SELECT set_config('row_security', '0', false)")


@pytest.mark.parametrize("text", OFF)
def test_it_stays_on_where_classified_columns_are_held(text: str) -> None:
    assert "baseline.row_security" == getattr(decision(text, USERS), "rule", None)
    assert isinstance(decision(text), Allow)


def test_switching_it_on_is_free() -> None:
    assert isinstance(decision("SET row_security = on", USERS), Allow)
