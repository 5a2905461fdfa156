"""The use cases of policy files: check one, and explain what it makes of a statement, without a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from querywarden.config.policy_file import load_policy
from querywarden.config.yaml_lines import LineMap, load_yaml, suggestion
from querywarden.errors import REASONS, ConfigurationError
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.decision import Allow, Decision
from querywarden.model.facts import Unanalysable
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy.baseline import BASELINE
from querywarden.policy.evaluate import Request, may_connect, unanalysable
from querywarden.policy.explain import Explanation, explain, outcome_of
from querywarden.policy.language import EVERYONE, Group, Policy, Rule, What, Where, Who


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """A rule in words."""

    id: str
    effect: str
    who: str
    where: str
    what: str
    overrides: tuple[str, ...]
    is_built_in: bool


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """A policy in words: what `querywarden policy check` shows."""

    name: str
    version: str
    rules: tuple[RuleSummary, ...]
    access: tuple[str, ...]
    reveals: tuple[str, ...]
    columns: tuple[str, ...]
    limits: tuple[str, ...]


def read_policy(file: Path | None) -> Policy:
    """The policy of a file, or the baseline alone. Raises: ConfigurationError."""
    return BASELINE if file is None else load_policy(file)


def summarise(policy: Policy) -> PolicySummary:
    """A policy in words."""
    return PolicySummary(
        name=policy.name,
        version=policy.version,
        rules=tuple(_summarise_rule(rule) for rule in policy.rules),
        access=tuple(f"{entry.id}: {told_who(entry.who)}, {told_where(entry.where)}" for entry in policy.access),
        reveals=tuple(
            f"{entry.id}: {told_who(entry.who)}, {told_where(entry.where)}: "
            + ("everything" if entry.everything else ", ".join([*sorted(each.value for each in entry.classes), *entry.columns]))
            for entry in policy.reveals
        ),
        columns=tuple(f"{entry.column}: {entry.data_class or 'none'}, {told_where(entry.where)}" for entry in policy.column_classes),
        limits=tuple(
            f"{entry.id}: {told_who(entry.who)}, {told_where(entry.where)}: {entry.rows_max} rows per statement"
            for entry in (*policy.limits, *policy.limits_default)
        ),
    )


def explain_text(policy: Policy, text: str, principal: Principal, database: Database, catalogue: Catalogue) -> list[Explanation]:
    """What a policy makes of each statement of a text; one refusal when the text can't be analysed."""
    # Imported here, so that checking a policy doesn't load the SQL grammar.
    from querywarden.postgresql.analysis import analyse

    found = analyse(text.encode("utf-8", "surrogateescape"))
    if isinstance(found, Unanalysable):
        return [Explanation(unanalysable(found), may_connect(policy, principal, database), ())]
    return [explain(policy, Request(principal, database, facts, catalogue)) for facts in found]


def as_json(explanation: Explanation) -> dict[str, Any]:
    """An explanation as plain data."""
    return {
        "decision": decision_as_json(explanation.decision),
        "access": decision_as_json(explanation.access) if explanation.access is not None else None,
        "parts": [
            {
                "verb": part.verb,
                "properties": list(part.properties),
                "reads": list(part.reads),
                "writes": list(part.writes),
                "functions": list(part.functions),
                "decision": decision_as_json(part.decision),
                "rules": [{"rule": step.rule, "effect": step.effect, "outcome": step.outcome, "why": step.why} for step in part.steps],
            }
            for part in explanation.parts
        ],
    }


def decision_as_json(decision: Decision) -> dict[str, Any]:
    """A decision as plain data."""
    if isinstance(decision, Allow):
        reveal = decision.reveal
        return {
            "outcome": "allow",
            "rule": decision.rule,
            "rows_max": decision.rows_max,
            "reveal": {"everything": reveal.everything, "classes": sorted(reveal.classes), "columns": sorted(reveal.columns)},
        }
    return {
        "outcome": outcome_of(decision),
        "rule": decision.rule,
        "reason": decision.reason.value,
        "sqlstate": REASONS[decision.reason].sqlstate,
        "sentence": decision.sentence,
        "hint": decision.hint,
    }


def read_catalogue(file: Path | None, policy: Policy, database: Database) -> Catalogue:
    """A catalogue from a file of `schema.relation: {column: class or null}`, with the policy's own classes over it.

    Raises: ConfigurationError, with file and line.
    """
    if file is None:
        return Catalogue("none", {})
    data, lines = load_yaml(file)
    if not isinstance(data, dict):
        raise ConfigurationError("the file holds no relations", str(file), 1, "schema.relation: {column: class}")
    relations = {}
    for number, (name, columns) in enumerate(data.items(), 1):
        schema, _, last = name.rpartition(".")
        if not isinstance(columns, dict):
            raise ConfigurationError(f"{name}: its columns are missing", str(file), lines.line((name,)), "schema.relation: {column: class}")
        made = {
            position: Column(position, column, "text", _classification(policy, database, (schema or "public", last, column), given))
            for position, (column, given) in enumerate(_checked(columns, name, lines, file).items(), 1)
        }
        relations[number] = Relation(number, schema or "public", last, "table", made)
    return Catalogue(str(file), relations)


def _checked(columns: dict[str, Any], name: str, lines: LineMap, file: Path) -> dict[str, DataClass | None]:
    names = [each.value for each in DataClass]
    for column, given in columns.items():
        if given is not None and given not in (*names, "none"):
            raise ConfigurationError(f"unknown class {given!r}", str(file), lines.line((name, column)), suggestion(str(given), names))
    return {column: DataClass(given) if given not in (None, "none") else None for column, given in columns.items()}


def _classification(policy: Policy, database: Database, column: tuple[str, str, str], given: DataClass | None) -> Classification | None:
    rule = policy.column_class(database, *column)
    if rule is not None:
        return Classification(rule.data_class, "policy", rule.column) if rule.data_class is not None else None
    return Classification(given, "comment", "catalogue file") if given is not None else None


def _summarise_rule(rule: Rule) -> RuleSummary:
    return RuleSummary(
        id=rule.id,
        effect=rule.effect.value,
        who=told_who(rule.who),
        where=told_where(rule.where),
        what=told_what(rule.what),
        overrides=tuple(sorted(rule.overrides)),
        is_built_in=rule.is_baseline,
    )


def told_who(who: Who) -> str:
    """The principals of a rule in words."""
    told = _told_group(who.included) or "everyone"
    if who.excluded != EVERYONE:
        told += f" but not {_told_group(who.excluded)}"
    if who.delegated is not None:
        told += ", on behalf of others" if who.delegated else ", for themselves"
    return told


def _told_group(group: Group) -> str:
    fields = (
        ("kind", sorted(kind.value for kind in group.kinds)),
        ("group", list(group.groups)),
        ("subject", list(group.subjects)),
    )
    return "; ".join(f"{name} {' or '.join(values)}" for name, values in fields if values)


def told_where(where: Where) -> str:
    """The databases of a rule in words."""
    parts = [" or ".join(where.databases), " or ".join(sorted(each.value for each in where.environments))]
    return ", ".join(part for part in parts if part) or "everywhere"


def told_what(what: What) -> str:
    """The statements of a rule in words."""
    fields: tuple[tuple[str, list[str]], ...] = (
        ("", sorted(each.value for each in what.verbs)),
        ("touching", list(what.relations)),
        ("reading", list(what.reads)),
        ("writing", list(what.writes)),
        ("calling", list(what.functions)),
        ("that is", sorted(each.value for each in what.properties)),
        ("unless it is", sorted(each.value for each in what.without)),
        ("of", list(what.object_kinds)),
    )
    told = "; ".join(f"{name} {' or '.join(values)}".strip() for name, values in fields if values)
    return told or "any statement"
