"""The reference page of the policy language, made from the models that read a policy file and from the baseline itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from querywarden.admin.policy_words import told_limit, told_what, told_where, told_who
from querywarden.config.policy_sections import (
    AccessSection,
    AutomaticSection,
    BudgetSection,
    ColumnSection,
    FreezeSection,
    GroupSection,
    LimitSection,
    MaskSection,
    PolicyFile,
    RequestableSection,
    RevealSection,
    RuleSection,
    TermsSection,
    WhenSection,
    WhoSection,
)
from querywarden.masking.operators import DEFAULT_OPERATORS, Operator
from querywarden.model.catalogue import DataClass
from querywarden.model.facts import Hazard, Verb
from querywarden.policy.baseline import BASELINE_LIMITS, BASELINE_RULES
from querywarden.policy.language import Property, Trait

PROPERTY_TEXTS: dict[Property, str] = {
    Hazard.UNCONDITIONAL: "an UPDATE or DELETE, at any depth, without a condition",
    Hazard.TAUTOLOGICAL: "an UPDATE or DELETE, at any depth, whose condition is always true as far as the text shows",
    Hazard.SCHEMA_CHANGE: "any change of the schema",
    Hazard.DESTRUCTIVE_DDL: "DROP or TRUNCATE, or an ALTER that drops a column, partition or constraint",
    Hazard.PRIVILEGE: "GRANT, roles, ownership, default privileges, policies, security labels, SECURITY DEFINER",
    Hazard.ROLE_SWITCH: "SET ROLE or SET SESSION AUTHORIZATION, in whatever form",
    Hazard.FILE_ACCESS: "files of the database server",
    Hazard.PROGRAM: "programs on the database server",
    Hazard.NETWORK: "other hosts, reached from the database server",
    Hazard.CODE_LOADING: "LOAD, CREATE EXTENSION, CREATE LANGUAGE, C functions",
    Hazard.DYNAMIC_SQL: "text that is run as SQL: DO, query_to_xml and the like",
    Hazard.DATA_MODIFYING_CTE: "a WITH clause that changes rows",
    Hazard.EXPLAIN_ANALYZE: "EXPLAIN ANALYZE, which runs the statement",
    Hazard.ANALYSIS_SETTING: "a change of a setting that the analysis rests on",
    Hazard.SERVER_ADMIN: "ALTER SYSTEM, other sessions' ends, replication slots, reload and the like",
    Hazard.DANGEROUS_FUNCTION: "a built-in function that is not on the list of harmless ones",
    Hazard.CROSS_JOIN: "relations joined without a condition",
    Hazard.NO_LIMIT: "a SELECT without LIMIT",
    Hazard.TWO_PHASE: "PREPARE TRANSACTION and what belongs to it",
    Hazard.WHOLE_RELATION_EXPORT: "COPY to the client of a relation, or of a query without a condition",
    Hazard.MULTI_STATEMENT: "one of several statements in one text",
    Hazard.EXCLUSIVE_LOCK: "LOCK in a mode that keeps others from writing or reading",
    Hazard.MERGE_DELETE: "a MERGE that deletes rows",
    Trait.READ_ONLY: "it reads, changes nothing that lasts and is no export: SELECT, SHOW, EXPLAIN, cursors, transactions, settings",
    Trait.CHANGES_DATA: "it may change rows, schema, privileges or anything else that lasts",
    Trait.TEMPORARY: "what it changes are temporary tables: made as such, or named in pg_temp",
    Trait.OWN_FUNCTION: "it calls a function, operator or cast of the database's own",
    Trait.VOLATILE_FUNCTION: "it calls a procedure or volatile function of the database's own",
    Trait.LARGE_OBJECT: "it calls a function of large objects",
    Trait.UNKNOWN_RELATION: "it names a relation that the catalogue does not have",
    Trait.TOUCHES_CLASSIFIED: "values of classified columns may take part in it",
    Trait.TRUSTED_CALL: "CALL of a procedure that is listed under `trusted_functions`",
    Trait.ROW_SECURITY_OFF: "it switches row-level security off in a database that holds classified columns",
    Trait.CLASSIFIED_COPY: "COPY to the client of classified values that the principal may not see, where they can't be masked: the "
    "statement isn't understood by the server's own account, or the form of the data isn't UTF-8 or isn't known",
    Trait.CLASSIFIED_WRITE: "it may store a classified value, which the principal may not see, where nothing masks it",
    Trait.CLASSIFIED_PREDICATE: "a condition, order or computation on a classified column, which the principal may not see, tells about "
    "its values; =, IN, IS NULL and joins by equality are none",
    Trait.CLASSIFIED_GROUPING: "it groups by a classified column, which the principal may not see, makes rows distinct by it or partitions "
    "by it, as far as the server tells; the baseline lets it pass, since the groups are those of equal masks, but the order of the rows "
    "may be that of the values",
    Trait.MASKED_WRITE_BACK: "it would store a masked value, as its principal was shown it, in place of the real one",
    Trait.UNKEYED_WRITE: "an UPDATE or DELETE whose condition equates no indexed column with a value",
    Trait.KEYED_WRITE: "an UPDATE or DELETE of at most one row: its condition equates all columns of a unique key with values",
    Trait.CASCADES: "a DELETE, or an UPDATE of a key, that changes rows of other relations through their foreign keys",
}
"""What each property says of a statement."""

_OPERATOR_TEXTS: dict[Operator, str] = {
    Operator.EMAIL: "an address that is none: `u_` and 10 letters at example.com; equal values stay equal",
    Operator.PHONE: "the format and the leading +; equal values stay equal",
    Operator.CARD: "the separators and the last four digits",
    Operator.IBAN: "country, length and grouping; equal values stay equal",
    Operator.SHAPE: "the places of letters, digits and punctuation; equal values stay equal",
    Operator.NAME: "the number of words and their case; equal values stay equal",
    Operator.USERNAME: "`u_` and 10 letters; equal values stay equal",
    Operator.NETWORK: "the network of an address: /24 of IPv4, /48 of IPv6",
    Operator.HARDWARE: "a hardware address that is none; equal values stay equal",
    Operator.YEAR: "the year of a date",
    Operator.REDACT: "nothing: a constant of the type",
    Operator.SECRET: "nothing: a constant that says so",
    Operator.NULL: 'nothing: NULL (in quotation marks, `operator: "null"`)',
}
"""What is left of a value by each operator."""

_EXAMPLES: dict[type[BaseModel], str] = {
    RuleSection: """\
```yaml
rules:
  - id: bulk
    effect: hold
    environments: production
    verbs: [update, delete]
    rows_over: 1000
    approval: {approvers: [dba, security], quorum: 2, expires: 15m}
  - id: salaries
    effect: deny
    columns: hr.staff.salary
    who: {not: {groups: payroll}}
  - id: exports
    effect: hold
    properties: whole_relation_export
    observe: true
```
""",
    WhenSection: """\
```yaml
when: {days: [mon, tue, wed, thu, fri], from: "09:00", until: "17:00", zone: Europe/Vienna}
```

Times stand in quotation marks, since YAML takes some of them for numbers. Windows follow the clock of the zone through summer time.
""",
    FreezeSection: """\
```yaml
freezes:
  - {id: year-end, from: 2026-12-20, until: 2027-01-02, zone: Europe/Vienna, environments: production, effect: hold}
```
""",
    AutomaticSection: """\
```yaml
automatic_approvals:
  - {id: small, rules: bulk, rows_up_to: 5000, who: {groups: release}}
  - {id: again, rules: [baseline.schema_change], standing: true}
```
""",
    RequestableSection: """\
```yaml
requestable:
  - {id: oncall, who: {groups: engineers}, groups: oncall, databases: shop, for_up_to: 8h, approval: {approvers: leads}}
```
""",
    MaskSection: """\
```yaml
masks:
  - {classes: email, operator: redact, who: {kinds: agent}}
```
""",
    LimitSection: """\
```yaml
limits:
  - {id: analysts, who: {groups: analysts}, rows: 100000, bytes: 50MB, seconds: 5m, sessions: 4, per_day: {rows: 1000000}}
```
""",
}
"""An example of a section, in the form of the page."""

_INTRODUCTION = """\
# Policy

<!-- Made by `querywarden.admin.policy_reference`; a test compares them. -->

A policy says who may reach which database, what may be done there, what is seen unmasked, and how much. It is one YAML file, named by
`policy.file` in the configuration; without one the built-in baseline below is in force alone. It is read again on SIGHUP and when it
changes; a file with a mistake leaves the policy before it in force. `config/policy.example.yaml` is an example with comments.

    querywarden policy check policy.yaml
    querywarden policy explain policy.yaml --statement "DELETE FROM orders" --principal alice --group developers \\
        --kind human --database shop --environment production

`check` prints the rules, or file, line and what would be right (exit code 1). `explain` shows which rules match a statement and which
one decides. Neither needs a server. `--catalogue FILE` gives `explain` the classes of columns (`schema.relation: {column: class}`).

## How a decision is made

1. Each part of a statement is judged: the statement itself, and what it holds (data-modifying WITH clauses, the bodies of EXPLAIN, COPY,
   PREPARE and DECLARE). The worst part decides. What plain EXPLAIN only explains counts as not run.
2. A rule matches when all of its fields do. A field left out asks nothing; of several values in a field one is enough. A rule with
   `observe: true` is recorded where it matches, and decides nothing.
3. **Deny beats hold beats allow, and what no rule allows is refused.** Adding a deny never allows more.
4. An allow rule with `overrides` puts the rules it names out of force for the parts that it matches. Some rules can't be overridden.
5. Relations in a statement may be written without their schema. Deny and hold rules match if *any* relation that the name may mean
   does, allow rules only if *all* of them do, and all relations of the statement. Views are relations of their own: a rule about a
   table does not speak of the views over it.
6. An allow rule with `functions` needs every function of the database's own in the statement to match, and every function at all where
   the statement calls a dangerous one.
7. Columns are matched by their last name: a deny or hold with `columns` matches if any column that the statement names may be one of them,
   or if a star, a whole row or a whole relation stands for it; an allow only if the statement names columns, all of them match, and nothing
   stands for others. Where the server has told what it understands of the statement, the columns behind a star, and for a deny or hold
   those of the tables behind a view, are known and count as named.
8. `rows_over` and `rows_up_to` are about the rows that the server's planner expects (EXPLAIN, hidden from the client, with the
   parameters' values). The server is asked where the answer could change the decision: not for a write by a unique key, nor for an
   INSERT whose rows stand in its text. A number that nobody knows counts against the statement.
9. A held statement waits for the approvers of the rule that holds it. **Every rule that holds it has to be satisfied:** an automatic
   approval of one is none for another, and where several are left, each of them has to have its quorum among its own approvers; who is
   in the groups of two counts for both. The shortest `expires` holds; the rule that is named, and its `mode`, are those of the highest
   quorum, of equals the first in the file, the file's own before the built-in ones. The same goes for several statements in one text.

Globs know `*` (any run of characters) and `?` (one character). One value may stand in place of a list of one.

## What is hidden, and what tells of it

Of a statement that may touch classified columns the server is asked what it understands: where each column of the result comes from, what
its conditions rest on, and what it stores. Without the right to ask, or where that isn't understood, the names in the statement decide, and
more is masked, held and refused than need be (`querywarden doctor` says whether the right is there).

* **Conditions.** `classified_predicate` is a condition, order or computation on a hidden column that tells more than equality. `=`, `IN`,
  `IS NULL` and joins by equality pass; each execution of `=` or `IN` with values of the client's own counts as one guess for each such
  condition, and so does a value that is stored in a hidden column of a unique key; of a statement with many literals and parameters, each
  beyond 20 counts. People and agents have 300 an hour and database, services have no such bound; `limits` with `guesses` says otherwise.
* **Grouping.** GROUP BY, DISTINCT and PARTITION BY of a hidden column (`classified_grouping`) pass: masks that keep equality show the same
  groups, and a join by equality shows them too. The rows may come in the order of the values, though. Where that is too much, a rule with
  `effect: hold, properties: classified_grouping` holds them.
* **Storing.** A hidden value may be stored where it is masked as before: unchanged, or wholly masked, in a column of the same class and
  with the same mask. To keep a copy, make a table whose columns have the classes, and fill it with INSERT … SELECT. All else is refused
  (`classified_write`), or with `laundering: hold` held; a deny rule with that property may narrow the latter.
* **Writing back.** What was shown masked isn't stored in place of the real value (`masked_write_back`).
* **Revealing a view's column.** A view's column that is revealed by its own name is shown where it is returned as it is; what is computed
  of it, and conditions on it, are about the columns that the view takes it from.

Who may change the schema of a database can give columns other names, and so take them out of a class that their names gave them.
Label a database that holds real personal data as production, where changes of the schema are held.
"""


def policy_reference() -> str:
    """The page `docs/reference/policy.md`."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield _INTRODUCTION
    yield "## The file\n"
    yield from _fields(PolicyFile)
    sections: tuple[tuple[str, type[BaseModel]], ...] = (
        ("An entry of `access`", AccessSection),
        ("An entry of `rules`", RuleSection),
        ("`approvals`, and `approval` of an entry", TermsSection),
        ("`when`", WhenSection),
        ("An entry of `freezes`", FreezeSection),
        ("An entry of `automatic_approvals`", AutomaticSection),
        ("An entry of `requestable`", RequestableSection),
        ("An entry of `reveal`", RevealSection),
        ("An entry of `masks`", MaskSection),
        ("A value of `columns`", ColumnSection),
        ("An entry of `limits`", LimitSection),
        ("`per_hour` and `per_day`", BudgetSection),
        ("`who`", WhoSection),
        ("`who.not`", GroupSection),
    )
    for heading, model in sections:
        yield f"## {heading}\n"
        yield (model.__doc__ or "").strip() + "\n"
        yield from _fields(model)
        if model in _EXAMPLES:
            yield _EXAMPLES[model]
    yield "## Properties of statements\n"
    yield "| property | the statement … |\n|---|---|"
    for each, text in PROPERTY_TEXTS.items():
        yield f"| `{each.value}` | {text} |"
    yield "\n## Verbs\n"
    yield ", ".join(f"`{verb.value}`" for verb in Verb) + ".\n"
    yield "## Classes\n"
    yield ", ".join(f"`{each.value}`" for each in DataClass) + ".\n"
    yield from _operators()
    yield from _baseline()


def _fields(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | meaning |\n|---|---|"
    for name, field in model.model_fields.items():
        needed = " Required." if field.is_required() else ""
        yield f"| `{field.alias or name}` | {field.description}{_default(field.get_default(call_default_factory=False))}{needed} |"
    yield ""


def _default(value: Any) -> str:
    return f" Default: `{value}`." if isinstance(value, str) else ""


def _operators() -> Iterator[str]:
    yield "## Operators\n"
    yield "| operator | what it leaves | of its own for |\n|---|---|---|"
    for operator in Operator:
        classes = ", ".join(f"`{each.value}`" for each, default in DEFAULT_OPERATORS.items() if default is operator)
        yield f"| `{operator.value}` | {_OPERATOR_TEXTS[operator]} | {classes} |"
    yield ""


def _baseline() -> Iterator[str]:
    yield "## The built-in baseline\n"
    yield "`extends: none` leaves it out, but for the rules marked with *.\n"
    yield "| rule | effect | for | where | what | told as |\n|---|---|---|---|---|---|"
    for rule in BASELINE_RULES:
        mark = "*" if rule.is_fixed else ""
        told = f"{rule.sentence} {rule.hint}".strip().replace("|", "\\|")
        cells = (f"`{rule.id}`{mark}", rule.effect.value, told_who(rule.who), told_where(rule.where), told_what(rule.what), told)
        yield "| " + " | ".join(cells) + " |"
    yield ""
    for limit in BASELINE_LIMITS:
        yield f"`{limit.id}`: {told_limit(limit)}."
