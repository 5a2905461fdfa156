"""The baseline as a golden matrix: each statement of `matrix.txt`, for each kind of principal, in each environment.

`-- rows: N` after a statement is what the server's planner expects of it (10 where nothing is said), and `(rows)` after a decision says
that the server had to be asked. `-- writes back`: its session has found a masked value among those that it would store.

`PYTHONPATH=src python tests/unit/policy/test_matrix.py` writes the decisions anew; read the difference before keeping it.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Keys, Relation
from querywarden.model.decision import Allow, Estimate, Hold
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.baseline import BASELINE, BASELINE_RULES
from querywarden.policy.evaluate import Request, judge
from querywarden.postgresql.analysis import analyse

MATRIX = Path(__file__).with_name("matrix.txt")


def relation(number, name, kind="table", **classes):
    columns = {
        position: Column(position, column, "text", Classification(given, "name") if given else None)
        for position, (column, given) in enumerate(classes.items(), 1)
    }
    keys = Keys((frozenset({"id"}),), frozenset({"id"})) if kind == "table" else Keys()
    return Relation(number, "public", name, kind, columns, keys=keys)


CATALOGUE = Catalogue(
    "1",
    {
        each.id: each
        for each in (
            relation(1, "users", id=None, email=DataClass.EMAIL, phone=DataClass.PHONE, last_login=None, logins=None),
            relation(2, "orders", id=None, user_id=None, total=None, note=None),
            relation(3, "notes", id=None, body=None, email=DataClass.EMAIL),
            relation(4, "active_users", "view", id=None, contact=DataClass.EMAIL),
        )
    },
    opaque_functions=frozenset({"order_value", "touch_user", "archive_orders"}),
    volatile_functions=frozenset({"touch_user", "archive_orders"}),
)


def statements():
    return [line for line in MATRIX.read_text(encoding="utf-8").splitlines() if line and line[0] not in "# "]


def decided(sql, kind, environment):
    (facts,) = analyse(sql.encode())
    principal = Principal("someone", "idp", kind)
    request = Request(principal, Database("shop", environment), facts, CATALOGUE, writes_back=sql.endswith("-- writes back"))
    expected = re.search(r"-- rows: (\d+)$", sql)
    decision = judge(BASELINE, replace(request, estimate=Estimate(int(expected[1]) if expected else 10))).decision
    outcome = "allow" if isinstance(decision, Allow) else "hold" if isinstance(decision, Hold) else "deny"
    told = outcome if outcome == "allow" else f"{outcome}:{decision.rule.removeprefix('baseline.')}"
    return told + ("(rows)" if judge(BASELINE, request).wants_estimate else "")


def rows(sql):
    for kind in PrincipalKind:
        outcomes = [decided(sql, kind, environment) for environment in Environment]
        if len(set(outcomes)) == 1:
            yield f"    {kind:8}everywhere={outcomes[0]}"
        else:
            yield f"    {kind:8}" + " ".join(f"{environment}={outcome}" for environment, outcome in zip(Environment, outcomes, strict=True))


def test_the_decisions_of_the_baseline_are_those_of_the_matrix():
    lines = MATRIX.read_text(encoding="utf-8").splitlines()
    expected = [line for line in lines if line and not line.startswith("#")]

    assert [line for sql in statements() for line in (sql, *rows(sql))] == expected


@pytest.mark.parametrize("rule", [rule.id for rule in BASELINE_RULES if rule.effect != "allow" and rule.id != "baseline.unknown_statement"])
def test_every_rule_of_the_baseline_decides_something(rule):
    assert rule.removeprefix("baseline.") in re.findall(r":(\w+)", MATRIX.read_text(encoding="utf-8"))


def write():
    made = []
    for line in MATRIX.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue
        made.append(line)
        if line and line[0] != "#":
            made.extend(rows(line))
    MATRIX.write_text("\n".join(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
