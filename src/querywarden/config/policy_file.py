"""The policy file: YAML that a security officer can read, validated and turned into a `Policy`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from querywarden.config.yaml_lines import LineMap, parse_yaml, raise_with_lines, read_file, suggestion
from querywarden.errors import ConfigurationError, ReasonCode
from querywarden.model.catalogue import DataClass
from querywarden.model.facts import Hazard, Verb
from querywarden.model.principal import PrincipalKind
from querywarden.model.resource import Environment
from querywarden.policy.baseline import BASELINE_LIMITS, BASELINE_RULES, FIXED_RULES
from querywarden.policy.language import (
    Access,
    ColumnClassRule,
    Effect,
    Group,
    Policy,
    Property,
    RevealRule,
    RowLimit,
    Rule,
    Trait,
    What,
    Where,
    Who,
)

_RESERVED = ("baseline.", "policy.", "credential.")

PROPERTIES: dict[str, Property] = {each.value: each for each in (*Hazard, *Trait)}
"""The properties of statements that a policy file may name."""


def _as_list(value: Any) -> Any:
    """One value alone stands for a list of it."""
    return [value] if isinstance(value, str) else value


def _one_of(names: Iterable[str]) -> Callable[[str], str]:
    valid = frozenset(names)

    def check(value: str) -> str:
        if value not in valid:
            expected = ", ".join(f"'{name}'" for name in sorted(valid))
            raise PydanticCustomError("literal_error", "unknown name", {"expected": expected})
        return value

    return check


def _without_schema(value: str) -> str:
    if "." in value:
        raise PydanticCustomError("schema", "a function is trusted by its name, in every schema", {"hint": "leave the schema out"})
    return value


Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_as_list)]
BareNames = Annotated[tuple[Annotated[Name, AfterValidator(_without_schema)], ...], BeforeValidator(_as_list)]
Verbs = Annotated[tuple[Verb, ...], BeforeValidator(_as_list)]
Environments = Annotated[tuple[Environment, ...], BeforeValidator(_as_list)]
Kinds = Annotated[tuple[PrincipalKind, ...], BeforeValidator(_as_list)]
PropertyNames = Annotated[tuple[Annotated[str, AfterValidator(_one_of(PROPERTIES))], ...], BeforeValidator(_as_list)]
ClassNames = Annotated[tuple[Annotated[str, AfterValidator(_one_of(["all", *DataClass]))], ...], BeforeValidator(_as_list)]
ClassName = Annotated[str, AfterValidator(_one_of(["none", *DataClass]))]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$", strip_whitespace=True)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class GroupSection(_Section):
    """Principals by what their credential says of them."""

    groups: Names = Field((), description="Groups of the principal (globs); one of them is enough.")
    subjects: Names = Field((), description="Subjects, as the credential names them (globs).")
    kinds: Kinds = Field((), description="human, agent or service.")


class WhoSection(GroupSection):
    """The principals that an entry is about; left out: everyone."""

    excluded: GroupSection = Field(GroupSection(), alias="not", description="Principals that the entry is not about.")
    delegated: bool | None = Field(None, description="true: only on behalf of someone else; false: only for oneself.")


class _Placed(_Section):
    who: WhoSection = Field(WhoSection(), description="The principals that the entry is about; left out: everyone.")
    databases: Names = Field((), description="Names of configured databases (globs); left out: all.")
    environments: Environments = Field((), description="production, staging, development, sandbox; left out: all.")


class AccessSection(_Placed):
    """Who may reach which databases. Once there is one entry, whoever matches none may not connect."""

    id: Identifier | None = Field(None, description="The entry's name.")


class RuleSection(_Placed):
    """A rule over statements. Deny beats hold beats allow; what no rule allows is refused."""

    id: Identifier = Field(description="The rule's name: records and refusals give it.")
    effect: Effect = Field(description="allow, hold or deny.")
    verbs: Verbs = Field((), description="Kinds of statements.")
    relations: Names = Field((), description="Relations read or written: globs of schema.relation, or of relation in any schema.")
    reads: Names = Field((), description="Relations read.")
    writes: Names = Field((), description="Relations written.")
    functions: Names = Field((), description="Functions called: globs of schema.function, or of function in any schema.")
    properties: PropertyNames = Field((), description="Properties of the statement, of which one is there.")
    without: PropertyNames = Field((), description="Properties of the statement, of which none is there.")
    object_kinds: Names = Field((), description="For create, alter and drop: table, index, view, function, … (globs).")
    overrides: Names = Field((), description="For allow: the rules that are out of force where this one matches.")
    because: Text | None = Field(None, description="The sentence shown to whoever is refused or held.")
    hint: Text | None = Field(None, description="The way forward shown with it.")


class RevealSection(_Placed):
    """Who sees what unmasked."""

    id: Identifier | None = Field(None, description="The entry's name.")
    classes: ClassNames = Field((), description="Classes of data, or all.")
    columns: Names = Field((), description="Columns: globs of schema.relation.column, or of relation.column in any schema.")


class ColumnSection(_Section):
    """The class of columns, with the databases where it holds."""

    data_class: ClassName = Field(alias="class", description="A class of data, or none.")
    databases: Names = Field((), description="Names of configured databases (globs); left out: all.")


def _as_column(value: Any) -> Any:
    """A class alone stands for that class in every database."""
    if isinstance(value, bool):
        raise PydanticCustomError("class_type", "YAML reads this as true or false", {"hint": "write none, or the name of a class"})
    return {"class": value} if isinstance(value, str) else value


class LimitSection(_Placed):
    """How much one statement may return."""

    id: Identifier | None = Field(None, description="The entry's name.")
    rows: int = Field(ge=1, description="Rows per statement at most.")


_TRUSTED = "Functions of the databases' own that compute from their arguments alone, by name in every schema (globs)."


class PolicyFile(_Section):
    """The whole file."""

    version: Literal[1] = Field(description="The version of the language: 1.")
    extends: Literal["baseline", "none"] = Field("baseline", description="Whether the built-in rules stand beside those of the file.")
    access: tuple[AccessSection, ...] = Field((), description="Who may reach which databases; left out: everyone, all of them.")
    rules: tuple[RuleSection, ...] = Field((), description="What may be done.")
    reveal: tuple[RevealSection, ...] = Field((), description="Who sees what unmasked.")
    columns: dict[Name, Annotated[ColumnSection, BeforeValidator(_as_column)]] = Field(
        default_factory=dict,
        description="Classes of columns (globs of schema.relation.column), stronger than names and comments; the first match holds.",
    )
    limits: tuple[LimitSection, ...] = Field((), description="Rows per statement, in place of the built-in limits for whom they match.")
    trusted_functions: BareNames = Field((), description=_TRUSTED)


def load_policy(path: str | Path) -> Policy:
    """Load a policy file; the policy's version is the SHA-256 of the file's bytes.

    Raises: ConfigurationError, with file, line and what would be right.
    """
    data = read_file(path)
    raw, lines = parse_yaml(data, path)
    if not isinstance(raw, dict):
        raise ConfigurationError("the file holds no policy", str(path), 1, "it begins with version: 1")
    try:
        parsed = PolicyFile.model_validate(raw)
    except ValidationError as error:
        raise_with_lines(error, lines, path, PolicyFile)
    _check_rules(parsed, lines, path)
    return _policy(parsed, sha256(data).hexdigest(), str(path))


def _check_rules(parsed: PolicyFile, lines: LineMap, path: str | Path) -> None:
    seen: dict[str, int] = {}
    built_in = BASELINE_RULES if parsed.extends == "baseline" else FIXED_RULES
    known = {rule.id for rule in built_in} | {rule.id for rule in parsed.rules}
    fixed = {rule.id for rule in FIXED_RULES}
    for index, rule in enumerate(parsed.rules):

        def fail(message: str, *place: str | int, hint: str | None = None, index: int = index) -> None:
            raise ConfigurationError(message, str(path), lines.line(("rules", index, *place)), hint)

        if rule.id in seen:
            fail(f"two rules have the id {rule.id!r}", "id", hint=f"the first is on line {lines.line(('rules', seen[rule.id]))}")
        seen[rule.id] = index
        if rule.id.startswith(_RESERVED):
            fail(f"the id {rule.id!r} is reserved", "id", hint="ids that begin with baseline., policy. or credential. are built in")
        if rule.overrides and rule.effect is not Effect.ALLOW:
            fail(f"the rule {rule.id!r} overrides others, but does not allow", "overrides", hint="effect: allow")
        for position, overridden in enumerate(rule.overrides):
            if overridden not in known:
                fail(f"unknown rule {overridden!r}", "overrides", position, hint=suggestion(overridden, known))
            if overridden in fixed:
                fail(f"the rule {overridden!r} can't be overridden", "overrides", position, hint=_WAY_ROUND.get(overridden))
    for index, entry in enumerate(parsed.reveal):
        if not entry.classes and not entry.columns:
            raise ConfigurationError(
                "the entry reveals nothing", str(path), lines.line(("reveal", index)), "name classes or columns, or classes: all"
            )


_WAY_ROUND = {
    "baseline.classified_copy": "name the principals and classes under reveal",
    "baseline.classified_write": "name the principals and classes under reveal",
    "baseline.unknown_statement": "what can't be analysed is never let through",
    "baseline.analysis_setting": "the analysis rests on it",
}


def _policy(parsed: PolicyFile, version: str, name: str) -> Policy:
    is_extended = parsed.extends == "baseline"
    return Policy(
        version=version,
        rules=(*(_rule(rule) for rule in parsed.rules), *(BASELINE_RULES if is_extended else FIXED_RULES)),
        access=tuple(
            Access(entry.id or f"access.{number}", _who(entry.who), _where(entry)) for number, entry in enumerate(parsed.access, 1)
        ),
        reveals=tuple(
            RevealRule(
                entry.id or f"reveal.{number}",
                _who(entry.who),
                _where(entry),
                frozenset(DataClass(each) for each in entry.classes if each != "all"),
                entry.columns,
                everything="all" in entry.classes,
            )
            for number, entry in enumerate(parsed.reveal, 1)
        ),
        column_classes=tuple(
            ColumnClassRule(column, None if entry.data_class == "none" else DataClass(entry.data_class), Where(entry.databases))
            for column, entry in parsed.columns.items()
        ),
        limits=tuple(
            RowLimit(entry.id or f"limits.{number}", entry.rows, _who(entry.who), _where(entry))
            for number, entry in enumerate(parsed.limits, 1)
        ),
        limits_default=BASELINE_LIMITS if is_extended else (),
        trusted_functions=parsed.trusted_functions,
        name=name,
    )


def _rule(rule: RuleSection) -> Rule:
    what = What(
        verbs=frozenset(rule.verbs),
        relations=rule.relations,
        reads=rule.reads,
        writes=rule.writes,
        functions=rule.functions,
        properties=frozenset(PROPERTIES[name] for name in rule.properties),
        without=frozenset(PROPERTIES[name] for name in rule.without),
        object_kinds=rule.object_kinds,
    )
    is_hold = rule.effect is Effect.HOLD
    return Rule(
        id=rule.id,
        effect=rule.effect,
        who=_who(rule.who),
        where=_where(rule),
        what=what,
        reason=ReasonCode.APPROVAL_REQUIRED if is_hold else ReasonCode.POLICY_DENIED,
        sentence=rule.because or (_HELD if is_hold else _DENIED),
        hint=rule.hint or _HINT,
        overrides=frozenset(rule.overrides),
    )


_DENIED = "A rule of the policy does not allow this statement."
_HELD = "A rule of the policy holds this statement for an approval."
_HINT = "Ask the owner of the policy, and name the rule."


def _group(section: GroupSection) -> Group:
    return Group(section.groups, section.subjects, frozenset(section.kinds))


def _who(section: WhoSection) -> Who:
    return Who(_group(section), _group(section.excluded), section.delegated)


def _where(section: _Placed) -> Where:
    return Where(section.databases, frozenset(section.environments))
