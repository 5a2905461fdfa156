"""The lineage in words: what columns are made of, what would be done with them and why, conditions and writes with the policy's answer."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from querywarden.admin.lineage import LineageReport
from querywarden.admin.lineage_json import as_json
from querywarden.admin.lineage_places import Origin, Places
from querywarden.admin.lineage_report import Gap, Output, StatementReport, report
from querywarden.masking.plan import OutputColumn
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Function, Relation
from querywarden.model.data_flow import Assignment, Condition, ConditionKind, DataFlow, FlowKind, OutputFlow, ValueFlow
from querywarden.model.decision import Reveal
from querywarden.model.facts import StatementFacts
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.baseline import BASELINE
from querywarden.policy.evaluate import Request
from querywarden.policy.language import Policy, RevealRule
from querywarden.postgresql.analysis import analyse


def column(number: int, name: str, data_class: DataClass | None = None, type_name: str = "text") -> Column:
    return Column(number, name, type_name, Classification(data_class, "name", f"called {name}") if data_class else None)


PEOPLE = Relation(
    10, "public", "people", "table", {1: column(1, "id"), 2: column(2, "mail", DataClass.EMAIL), 3: column(3, "born", DataClass.DOB)}
)
NOTES = Relation(20, "public", "notes", "table", {1: column(1, "id"), 2: column(2, "text")})
PEEK = Function(30_000, "public", "peek", "f", "v", is_own=True)
CATALOGUE = Catalogue("g", {10: PEOPLE, 20: NOTES}, frozenset({"peek"}), functions={PEEK.id: PEEK})
TEXT, DATE = 25, 1082
MAIL = Origin("public.people.mail", ("email",), False, "public.people.mail is email (called mail)")
WHO = Principal("alice", "test", PrincipalKind.HUMAN, frozenset({"staff"}))
WHERE = Database("shop", Environment.PRODUCTION)


def output(name: str, relation: int = 0, number: int = 0, type_oid: int = TEXT) -> Output:
    return Output(OutputColumn(name, relation, number), type_oid, -1, "date" if type_oid == DATE else "text")


def value(kind: FlowKind, *sources: tuple[int, int], **more: object) -> ValueFlow:
    return ValueFlow(kind, frozenset(sources), **more)  # type: ignore[arg-type]


def facts_of(text: str, *values: ValueFlow, **more: object) -> StatementFacts:
    found = analyse(text.encode())
    assert isinstance(found, tuple)
    outputs = tuple(OutputFlow(f"c{number}", each) for number, each in enumerate(values))
    relations = frozenset({PEOPLE.id, NOTES.id})
    return replace(found[0], flow=DataFlow(outputs or None, relations, **more))  # type: ignore[arg-type]


def report_of(facts: StatementFacts, outputs: list[Output] | None = None, policy: Policy = BASELINE) -> StatementReport:
    return report(policy, Request(WHO, WHERE, facts, CATALOGUE), outputs, None)


def test_columns_say_what_they_are_made_of_and_why_they_are_masked() -> None:
    facts = facts_of(
        "SELECT id, mail, upper(mail), min(born), born, count(*) FROM people",
        value(FlowKind.DIRECT, (10, 1)),
        value(FlowKind.DIRECT, (10, 2)),
        value(FlowKind.DERIVED, (10, 2)),
        value(FlowKind.AGGREGATE, (10, 3), function="min"),
        value(FlowKind.DIRECT, (10, 3)),
        value(FlowKind.CONSTANT),
    )
    outputs = [
        output("id", 10, 1), output("mail", 10, 2), output("upper"), output("min", type_oid=DATE), output("born", 10, 3, DATE), output("n"),
    ]  # fmt: skip
    found = report_of(facts, outputs)
    assert found.columns is not None
    assert [(each.kind, each.treatment, each.operator, each.data_class, each.why) for each in found.columns] == [
        ("direct", "shown", None, None, "no classified column is in it"),
        ("direct", "masked", "email", "email", "public.people.mail is email (called mail)"),
        ("derived", "null", None, "opaque", "computed from public.people.mail"),
        ("aggregate", "null", None, "opaque", "min over public.people.born"),
        ("direct", "masked", "year", "dob", "public.people.born is dob (called born)"),
        ("constant", "shown", None, None, "nothing of a column is in it"),
    ]
    assert found.columns[2].made_of == (MAIL,)
    assert (found.is_understood, found.gap, found.reads) == (True, None, ("public.notes", "public.people"))


def test_code_that_is_not_followed_is_named() -> None:
    facts = facts_of("SELECT peek(id) FROM people", value(FlowKind.DERIVED, (10, 1), code=frozenset({"peek"})), code=frozenset({"peek"}))
    found = report_of(facts, [output("peek")])
    assert found.columns is not None
    assert (found.columns[0].treatment, found.columns[0].why) == ("null", "it comes out of peek, whose body isn't known")
    assert (found.columns[0].functions, found.functions) == (("peek",), ("peek",))


def test_what_the_policy_shows_is_said_to_be_shown() -> None:
    policy = replace(BASELINE, reveals=(RevealRule("staff", classes=frozenset({DataClass.EMAIL})),))
    found = report_of(facts_of("SELECT mail FROM people", value(FlowKind.DIRECT, (10, 2))), [output("mail", 10, 2)], policy)
    assert found.columns is not None
    assert (found.columns[0].treatment, found.columns[0].why) == ("shown", "the policy shows public.people.mail")
    assert found.columns[0].made_of[0].is_shown


def test_conditions_on_classified_columns_with_the_rule_that_holds_them() -> None:
    conditions = frozenset(
        {
            Condition(ConditionKind.EQUALITY, frozenset({(10, 2)})),
            Condition(ConditionKind.COMPARISON, frozenset({(10, 3), (10, 1)})),
            Condition(ConditionKind.ORDER, frozenset({(10, 1)})),
        }
    )
    facts = facts_of("SELECT id FROM people", value(FlowKind.DIRECT, (10, 1)), conditions=conditions)
    found = report_of(facts, [output("id", 10, 1)])
    assert [(each.kind, [origin.column for origin in each.columns], each.ruling.outcome) for each in found.conditions] == [
        ("comparison", ["public.people.born"], "hold"),
        ("equality", ["public.people.mail"], "passes"),
    ]
    assert found.conditions[0].ruling.rule is not None
    assert found.conditions[0].ruling.rule.startswith("baseline.")


def test_writes_with_what_they_are_made_of() -> None:
    clean = Assignment((20, 1), value(FlowKind.CONSTANT), takes_client_values=True)
    laundered = Assignment((20, 2), value(FlowKind.DIRECT, (10, 2)))
    facts = facts_of("INSERT INTO notes SELECT 1, mail FROM people", assignments=(clean, laundered), written=frozenset({NOTES.id}))
    found = report_of(facts)
    assert [(each.target and each.target.column, each.kind, each.ruling.outcome) for each in found.writes] == [
        ("public.notes.id", "constant", "passes"),
        ("public.notes.text", "direct", "deny"),
    ]
    assert (found.columns, found.changes, found.reads) == (None, ("public.notes",), ("public.people",))
    kept = report_of(facts_of("SELECT 1", stored_arguments=value(FlowKind.DIRECT, (10, 2))))
    assert [(each.target, each.ruling.outcome) for each in kept.writes] == [(None, "deny")]


def test_without_the_servers_word_names_decide_and_the_gap_is_told() -> None:
    facts = replace(facts_of("SELECT upper(mail), mail FROM people"), flow=None)
    gap = Gap("no_right", "it may not", "GRANT …")
    found = report(BASELINE, Request(WHO, WHERE, facts, CATALOGUE), [output("upper"), output("mail", 10, 2)], gap)
    assert found.columns is not None
    assert [(each.kind, each.treatment, each.why) for each in found.columns] == [
        (None, "null", "computed in a statement that touches classified columns"),
        (None, "masked", "the server traces it to public.people.mail"),
    ]
    assert (found.is_understood, found.gap) == (False, gap)


def test_what_a_statement_keeps_is_not_shown() -> None:
    facts = facts_of("CREATE TABLE copy AS SELECT id FROM people", value(FlowKind.DIRECT, (10, 1)))
    found = report_of(facts, [output("id", 10, 1)])
    assert found.columns is not None
    assert found.columns[0].treatment == "stored"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((10, 0), Origin("public.people.*", ("dob", "email"), False)),
        ((20, 0), Origin("public.notes.*")),
        ((10, 9), Origin("public.people.column 9")),
        ((99, 1), Origin("relation 99.plain")),
        ((99, 0), Origin("relation 99.*")),
    ],
)
def test_places_have_names(place: tuple[int, int], expected: Origin) -> None:
    places = Places(CATALOGUE, Reveal())
    places.names = {99: {1: "plain", 2: "email"}}
    assert places.origin(place) == expected
    assert places.origin((99, 2)).classes == ("email",)


def test_json_has_the_documented_shape() -> None:
    facts = facts_of("SELECT mail FROM people", value(FlowKind.DIRECT, (10, 2)))
    found = as_json(LineageReport("shop", "alice", "app", "g", (report_of(facts, [output("mail", 10, 2)]),)))
    assert json.loads(json.dumps(found)) == found
    [statement] = found["statements"]
    assert statement["columns"] == [
        {
            "name": "mail", "type": "text", "kind": "direct", "functions": [], "treatment": "masked", "operator": "email", "class": "email",
            "made_of": [{"column": "public.people.mail", "classes": ["email"], "shown": False}], "why": MAIL.reason,
        }
    ]  # fmt: skip
    assert {"verb", "is_understood", "gap", "rejection", "decision", "conditions", "writes", "functions", "reads", "changes"} <= set(
        statement
    )
    assert statement["decision"]["outcome"] == "allow"
