"""The file of a policy's cases: statements, who runs them and where, and what the policy is expected to decide."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from querywarden.admin.policy_catalogue import CatalogueLines, Relations, full_name, make_catalogue
from querywarden.config.yaml_lines import KeyPath, LineMap, parse_yaml, raise_with_lines, read_file, suggestion
from querywarden.errors import ConfigurationError, ReasonCode
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Estimate
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.language import Policy

ISSUER = "policy test"
CASES_MAX = 10_000


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_subject(value: Any) -> Any:
    return {"subject": value} if isinstance(value, str) else value


def _as_database(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def as_moment(value: Any) -> Any:
    """A time as YAML or a person writes it; without a zone it is UTC."""
    if isinstance(value, datetime.datetime):
        found = value
    elif isinstance(value, datetime.date):
        found = datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
    else:
        try:
            found = datetime.datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise PydanticCustomError("moment", "not a time", {"hint": "as 2026-12-24T10:00+01:00; without a zone it is UTC"}) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)


def _rows(value: Any) -> Any:
    if value == "unknown" or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise PydanticCustomError("rows", "not a number of rows", {"hint": "a whole number, or unknown where the planner can't say"})


Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_as_list)]
Moment = Annotated[datetime.datetime, BeforeValidator(as_moment)]
Rows = Annotated[int | Literal["unknown"], AfterValidator(_rows)]
Statement = Annotated[str, StringConstraints(min_length=1, max_length=1_000_000)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PrincipalSection(_Section):
    """Who runs a statement."""

    subject: Name = Field(description="The subject, as the credential names it.")
    groups: Names = Field((), description="Groups of the principal.")
    kind: PrincipalKind = Field(PrincipalKind.HUMAN, description="human, agent or service.")
    actors: Names = Field((), description="Who acts for the principal, by delegation, the present actor first.")
    databases: Names | None = Field(None, description="The databases that the credential is narrowed to.")


class DatabaseSection(_Section):
    """Where a statement runs."""

    name: Name = Field(description="The name of the database.")
    environment: Environment = Field(Environment.PRODUCTION, description="production, staging, development or sandbox.")


PrincipalField = Annotated[PrincipalSection, BeforeValidator(_as_subject)]
DatabaseField = Annotated[DatabaseSection, BeforeValidator(_as_database)]


class LimitsExpected(_Section):
    """The limits that an allowed statement is expected to have; null expects none."""

    rows: int | None = Field(None, description="Rows per statement.")
    bytes: int | None = Field(None, description="Bytes per statement.")
    seconds: float | None = Field(None, description="Seconds per statement.")


class _Circumstances(_Section):
    principal: PrincipalField | None = Field(None, description="Who: a name of `principals`, a subject, or a mapping.")
    database: DatabaseField | None = Field(None, description="Where: a name of `databases`, a name, or a mapping.")
    rows: Rows | None = Field(None, description="The rows that the server's planner would expect, or unknown.")
    at: Moment | None = Field(None, description="When; left out: now. Give it where the policy has windows or freezes.")


class CaseSection(_Circumstances):
    """A statement and what is expected of the policy."""

    name: Name | None = Field(None, description="What the case shows.")
    statement: Statement = Field(description="The SQL text; of several statements the strictest decision counts.")
    expect: Literal["allow", "deny", "hold"] = Field(description="allow, deny or hold.")
    rule: Name | None = Field(None, description="The rule that decides.")
    reason: ReasonCode | None = Field(None, description="The reason code of a denial or hold.")
    approvers: Names | None = Field(None, description="For a hold: the groups that are asked, by all rules that hold it.")
    quorum: int | None = Field(None, description="For a hold: how many people have to agree, of the rule that asks for the most.")
    automatic: Name | None = Field(None, description="For an allow: the rule of automatic_approvals that has approved it.")
    observed: Names | None = Field(None, description="The rules in observe mode that would have denied or held it; [] for none.")
    masked: Names = Field((), description="Columns of `catalogue` that the principal sees masked: schema.relation.column.")
    unmasked: Names = Field((), description="Columns of `catalogue` that the principal sees as they are.")
    limits: LimitsExpected | None = Field(None, description="For an allow: its limits; what is left out isn't looked at.")


class CaseFile(_Section):
    """The whole file."""

    version: Literal[1] = Field(1, description="The version of the form: 1.")
    policy: Name | None = Field(None, description="The policy file, relative to this one; --policy comes before it.")
    defaults: _Circumstances = Field(_Circumstances(), description="What holds for cases that don't say otherwise.")
    principals: dict[Name, PrincipalField] = Field(default_factory=dict, description="Principals that cases name.")
    databases: dict[Name, DatabaseField] = Field(default_factory=dict, description="Databases that cases name.")
    catalogue: Relations = Field(
        default_factory=dict, description="Relations: schema.relation: {column: class or null}, or {columns: …, keys: …}."
    )
    functions: dict[Name, Literal["volatile", "stable", "immutable"]] = Field(
        default_factory=dict, description="Functions of the database's own, by name: volatile ones may change anything."
    )
    cases: tuple[CaseSection, ...] = Field(description="The cases.")


@dataclass(frozen=True, slots=True)
class Case:
    """One case, complete: where it stands in the file, who, where, when, and what is expected."""

    line: int | None
    name: str
    statement: str
    principal: Principal
    database: Database
    estimate: Estimate | None
    now: float
    expected: CaseSection


@dataclass(frozen=True, slots=True)
class CaseBook:
    """The cases of a file with the catalogues that they know, by database."""

    file: Path
    cases: tuple[Case, ...]
    policy_file: Path | None
    catalogue_of: Callable[[Policy, Database], Catalogue]


def read_cases(file: Path, now: float) -> CaseBook:
    """Read a file of cases; `now` is the time for cases that name none. Raises: ConfigurationError, with file and line."""
    raw, lines = parse_yaml(read_file(file), file)
    if not isinstance(raw, dict):
        raise ConfigurationError("the file holds no cases", str(file), 1, "cases: [{statement: …, principal: …, expect: deny}]")
    try:
        parsed = CaseFile.model_validate(_with_names(raw))
    except ValidationError as error:
        raise_with_lines(error, CatalogueLines(lines), file, CaseFile)
    if not 0 < len(parsed.cases) <= CASES_MAX:
        hint = f"a file has 1 to {CASES_MAX} cases"
        raise ConfigurationError("the file holds no cases, or too many", str(file), lines.line(("cases",)), hint)
    reader = _Reader(parsed, CatalogueLines(lines), file, now)

    def catalogue_of(policy: Policy, database: Database) -> Catalogue:
        return make_catalogue(parsed.catalogue, parsed.functions, policy, database, f"the cases of {file}")

    policy_file = None if parsed.policy is None else file.parent / parsed.policy
    return CaseBook(file, tuple(reader.case(index, each) for index, each in enumerate(parsed.cases)), policy_file, catalogue_of)


def _with_names(raw: dict[str, Any]) -> dict[str, Any]:
    """The file with its own names of principals and databases filled in, as far as its form allows."""
    principals = _named(raw.get("principals"), "subject")
    databases = _named(raw.get("databases"), "name")

    def filled(section: Any) -> Any:
        if not isinstance(section, dict):
            return section
        found = dict(section)
        for key, names in (("principal", principals), ("database", databases)):
            if isinstance(found.get(key), str) and found[key] in names:
                found[key] = names[found[key]]
        return found

    whole = {**raw, "principals": principals or raw.get("principals", {}), "databases": databases or raw.get("databases", {})}
    if isinstance(raw.get("cases"), list):
        whole["cases"] = [filled(each) for each in raw["cases"]]
    if "defaults" in raw:
        whole["defaults"] = filled(raw["defaults"])
    return whole


def _named(section: Any, field: str) -> dict[str, Any]:
    """Entries by name; the name stands for the field that the entry leaves out, and an environment alone for a database."""
    if not isinstance(section, dict):
        return {}
    found = {}
    for name, entry in section.items():
        if field == "name" and isinstance(entry, str):
            found[name] = {"name": name, "environment": entry}
        else:
            found[name] = {field: name, **entry} if isinstance(entry, dict) else entry
    return found


class _Reader:
    """Completes cases by the file's defaults, and says where one can't be completed."""

    def __init__(self, parsed: CaseFile, lines: LineMap, file: Path, now: float) -> None:
        self._parsed, self._lines, self._file, self._now = parsed, lines, file, now

    def case(self, index: int, section: CaseSection) -> Case:
        defaults = self._parsed.defaults
        principal = section.principal or defaults.principal
        if principal is None:
            self._fail("the case names no principal", index, "principal: {subject: …, groups: […]}, or one under defaults")
        database = section.database or defaults.database
        if database is None:
            self._fail("the case names no database", index, "database: {name: …, environment: …}, or one under defaults")
        self._check(index, section)
        rows = section.rows if section.rows is not None else defaults.rows
        at = section.at or defaults.at
        return Case(
            line=self._lines.line(("cases", index)),
            name=section.name or " ".join(section.statement.split())[:80],
            statement=section.statement,
            principal=Principal(
                principal.subject,
                ISSUER,
                principal.kind,
                frozenset(principal.groups),
                actors=tuple(Actor(name, ISSUER) for name in principal.actors),
                databases=None if principal.databases is None else frozenset(principal.databases),
            ),
            database=Database(database.name, database.environment),
            estimate=None if rows is None else Estimate(None if rows == "unknown" else int(rows)),
            now=self._now if at is None else at.timestamp(),
            expected=section,
        )

    def _check(self, index: int, section: CaseSection) -> None:
        """Expectations that can't be met together."""
        for field, decision in (("approvers", "hold"), ("quorum", "hold"), ("automatic", "allow"), ("limits", "allow")):
            if getattr(section, field) is not None and section.expect != decision:
                self._fail(f"only what is expected to {decision} has {field}", index, f"expect: {decision}", field)
        if section.reason is not None and section.expect == "allow":
            self._fail("what is allowed has no reason", index, "leave it out, or expect: deny", "reason")
        known = {".".join((*full_name(name), column)) for name, relation in self._parsed.catalogue.items() for column in relation.columns}
        for field in ("masked", "unmasked"):
            for column in getattr(section, field):
                if column not in known:
                    hint = suggestion(column, known) if known else "columns stand there as schema.relation: {column: class}"
                    self._fail(f"{column!r} is no column of the catalogue section", index, hint, field)

    def _fail(self, message: str, index: int, hint: str | None, *place: str) -> NoReturn:
        where: KeyPath = ("cases", index, *place)
        raise ConfigurationError(message, str(self._file), self._lines.line(where), hint)
