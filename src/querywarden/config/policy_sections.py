"""The sections of a policy file, as models: what may stand in it, and what each key means."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from querywarden.config.policy_kinds import (
    Amount,
    BareNames,
    Bound,
    ClassName,
    ClassNames,
    Clock,
    DayNames,
    Duration,
    Environments,
    Identifier,
    Kinds,
    Mode,
    Moment,
    Name,
    Names,
    OperatorName,
    PropertyNames,
    Quorum,
    Seconds,
    Section,
    Size,
    Text,
    Verbs,
    Zone,
    entry_as_list,
)
from querywarden.policy.language import Effect

_EFFECTS_OF_FREEZES = frozenset({Effect.DENY, Effect.HOLD})


class GroupSection(Section):
    """Principals by what their credential says of them."""

    groups: Names = Field((), description="Groups of the principal (globs); one of them is enough.")
    subjects: Names = Field((), description="Subjects, as the credential names them (globs).")
    kinds: Kinds = Field((), description="human, agent or service.")


class WhoSection(GroupSection):
    """The principals that an entry is about; left out: everyone."""

    excluded: GroupSection = Field(GroupSection(), alias="not", description="Principals that the entry is not about.")
    delegated: bool | None = Field(None, description="true: only on behalf of someone else; false: only for oneself.")


class Placed(Section):
    """An entry that is about some principals on some databases."""

    who: WhoSection = Field(WhoSection(), description="The principals that the entry is about; left out: everyone.")
    databases: Names = Field((), description="Names of configured databases (globs); left out: all.")
    environments: Environments = Field((), description="production, staging, development, sandbox; left out: all.")


class TermsSection(Section):
    """Who has to agree to what is held. In a rule, what is left out is as the file's `approvals` say."""

    approvers: Names | None = Field(
        None, min_length=1, description="Groups (globs), of one of which an approver is a member; left out: querywarden-approvers."
    )
    quorum: Quorum | None = Field(None, description="How many different people have to agree; left out: 1.")
    expires: Duration | None = Field(None, description="How long the question stands: 90s, 30m, 8h, 2d; left out: 30m.")
    mode: Mode | None = Field(
        None,
        description="wait: the client waits; fail: it gets an error and comes again. Left out: as client or configuration say.",
    )


class WhenSection(Section):
    """Hours of days of the week. Where `from` is later than `until`, the window goes on over midnight and belongs to its first day."""

    days: DayNames = Field((), description="mon, tue, wed, thu, fri, sat, sun; left out: every day.")
    starts: Clock | None = Field(None, alias="from", description='The first minute, such as "09:00"; left out: midnight.')
    ends: Clock | None = Field(None, alias="until", description='The minute after the last, such as "17:00"; left out: midnight.')
    zone: Zone = Field("UTC", description="The time zone of the clock, such as Europe/Vienna.")

    @model_validator(mode="after")
    def _says_something(self) -> WhenSection:
        if not self.days and self.starts is None and self.ends is None:
            raise PydanticCustomError("when", "names no time", {"hint": "name days, from or until; left out, it is always"})
        if (self.starts or 0) == self.ends:
            raise PydanticCustomError("when", "the window has no minute", {"hint": "leave from and until out for the whole day"})
        return self


When = Annotated[tuple[WhenSection, ...], BeforeValidator(entry_as_list)]
_WHEN = "Windows of time in which the entry holds, one or a list; left out: always."


class AccessSection(Placed):
    """Who may reach which databases. Once there is one entry, whoever matches none may not connect."""

    id: Identifier | None = Field(None, description="The entry's name.")


class RuleSection(Placed):
    """A rule over statements. Deny beats hold beats allow; what no rule allows is refused."""

    id: Identifier = Field(description="The rule's name: records and refusals give it.")
    effect: Effect = Field(description="allow, hold or deny.")
    verbs: Verbs = Field(
        (),
        description="Kinds of statements. To deny and hold, what a MERGE does counts as well, ON CONFLICT DO UPDATE as update, "
        "TRUNCATE as delete.",
    )
    relations: Names = Field((), description="Relations read or written: globs of schema.relation, or of relation in any schema.")
    reads: Names = Field((), description="Relations read.")
    writes: Names = Field((), description="Relations written.")
    columns: Names = Field((), description="Columns read or written: globs of schema.relation.column, or of relation.column in any schema.")
    functions: Names = Field((), description="Functions called: globs of schema.function, or of function in any schema.")
    properties: PropertyNames = Field((), description="Properties of the statement, of which one is there.")
    without: PropertyNames = Field((), description="Properties of the statement, of which none is there.")
    object_kinds: Names = Field((), description="For create, alter and drop: table, index, view, function, … (globs).")
    rows_over: Bound | None = Field(None, description="It returns or changes more rows than this, as the server's planner expects.")
    when: When = Field((), description=_WHEN)
    observe: bool = Field(False, description="For deny and hold: what the rule would do is recorded, and nothing else.")
    approval: TermsSection | None = Field(None, description="For hold: who has to agree.")
    overrides: Names = Field((), description="For allow: the rules that are out of force where this one matches.")
    because: Text | None = Field(None, description="The sentence shown to whoever is refused or held.")
    hint: Text | None = Field(None, description="The way forward shown with it.")


def _effect_of_freeze(effect: Effect) -> Effect:
    if effect not in _EFFECTS_OF_FREEZES:
        raise PydanticCustomError("literal_error", "unknown name", {"expected": "'deny', 'hold'"})
    return effect


class FreezeSection(Placed):
    """A time in which changes wait: whatever changes data or schema, but for temporary objects, is refused or held."""

    id: Identifier = Field(description="The freeze's name, which records and refusals give, and allow rules may override.")
    starts: Moment = Field(alias="from", description="Its first day, or its beginning: 2026-12-20, or 2026-12-20 18:00.")
    ends: Moment = Field(alias="until", description="Its last day, which belongs to it, or its end.")
    zone: Zone = Field("UTC", description="The time zone of days and times.")
    effect: Annotated[Effect, AfterValidator(_effect_of_freeze)] = Field(Effect.DENY, description="deny or hold.")
    observe: bool = Field(False, description="What the freeze would do is recorded, and nothing else.")
    approval: TermsSection | None = Field(None, description="For hold: who has to agree.")
    because: Text | None = Field(None, description="The sentence shown to whoever is refused or held.")
    hint: Text | None = Field(None, description="The way forward shown with it.")


class AutomaticSection(Placed):
    """What needs nobody's word although rules hold it. Every rule that holds a statement has to be satisfied."""

    id: Identifier = Field(description="The entry's name: records give it.")
    rules: Names = Field(min_length=1, description="The rules and freezes, with effect hold, whose holds it approves; built-in ones too.")
    rows_up_to: Bound | None = Field(None, description="Up to so many rows, as the server's planner expects; not where it can't say.")
    when: When = Field((), description="Windows of time, such as a change window, one or a list; left out: always.")
    standing: bool = Field(
        False,
        description="true: where an approver has declared the approval of this exact statement a standing one, for whomever.",
    )


class RequestableSection(Section):
    """What principals may ask for, to have it for a time, once others agree."""

    id: Identifier = Field(description="The entry's name.")
    who: WhoSection = Field(WhoSection(), description="Who may ask; left out: everyone.")
    groups: Names = Field((), description="Groups (globs) that may be asked for.")
    databases: Names = Field((), description="Names of configured databases (globs) to which access may be asked for.")
    for_up_to: Duration = Field(8 * 3600, description="For how long at most: 30m, 8h, 2d; left out: 8h.")
    approval: TermsSection | None = Field(None, description="Who has to agree.")


class RevealSection(Placed):
    """Who sees what unmasked."""

    id: Identifier | None = Field(None, description="The entry's name.")
    classes: ClassNames = Field((), description="Classes of data, or all.")
    columns: Names = Field((), description="Columns: globs of schema.relation.column, or of relation.column in any schema.")


class MaskSection(Placed):
    """How classified columns are masked, if not as their class is. The first entry that fits holds, by column before by class."""

    id: Identifier | None = Field(None, description="The entry's name.")
    classes: ClassNames = Field((), description="Classes of data, or all.")
    columns: Names = Field((), description="Classified columns: globs of schema.relation.column, or of relation.column in any schema.")
    operator: OperatorName = Field(description="The operator, of those below.")


class ColumnSection(Section):
    """The class of columns, with the databases where it holds."""

    data_class: ClassName = Field(alias="class", description="A class of data, or none.")
    databases: Names = Field((), description="Names of configured databases (globs); left out: all.")


def as_column(value: Any) -> Any:
    """A class alone stands for that class in every database."""
    if isinstance(value, bool):
        raise PydanticCustomError("class_type", "YAML reads this as true or false", {"hint": "write none, or the name of a class"})
    return {"class": value} if isinstance(value, str) else value


class BudgetSection(Section):
    """What a principal may use of a database in an hour or a day (UTC), over all its sessions."""

    statements: Amount | None = Field(None, description="Statements.")
    rows: Amount | None = Field(None, description="Rows returned.")
    bytes: Size | None = Field(None, description="Bytes of rows returned: a number, or one with a unit such as 64KiB or 10MB.")
    guesses: Amount | None = Field(
        None, description="Conditions on masked columns by = or IN with values of the client's own; each execution counts."
    )


class LimitSection(Placed):
    """How much a principal may take. Of several entries that match, the smallest holds, measure by measure."""

    id: Identifier | None = Field(None, description="The entry's name; needed for per_hour and per_day, which are counted under it.")
    rows: Amount | None = Field(None, description="Rows per statement.")
    bytes: Size | None = Field(None, description="Bytes of rows per statement: a number, or one with a unit such as 64KiB or 10MB.")
    seconds: Seconds | None = Field(None, description="How long a statement may run: seconds, or a duration such as 5m.")
    sessions: Amount | None = Field(None, description="Sessions of a principal on a database at once.")
    per_hour: BudgetSection | None = Field(None, description="What may be used in an hour.")
    per_day: BudgetSection | None = Field(None, description="What may be used in a day.")


_TRUSTED = "Functions of the databases' own that compute from their arguments alone, by name in every schema (globs)."


class PolicyFile(Section):
    """The whole file."""

    version: Literal[1] = Field(description="The version of the language: 1.")
    extends: Literal["baseline", "none"] = Field("baseline", description="Whether the built-in rules stand beside those of the file.")
    access: tuple[AccessSection, ...] = Field((), description="Who may reach which databases; left out: everyone, all of them.")
    approvals: TermsSection = Field(TermsSection(), description="Who has to agree to what is held, where a rule says nothing else.")
    rules: tuple[RuleSection, ...] = Field((), description="What may be done.")
    freezes: tuple[FreezeSection, ...] = Field((), description="Times in which changes wait.")
    automatic_approvals: tuple[AutomaticSection, ...] = Field((), description="What needs nobody's word although a rule holds it.")
    requestable: tuple[RequestableSection, ...] = Field((), description="What principals may ask to have for a time.")
    reveal: tuple[RevealSection, ...] = Field((), description="Who sees what unmasked.")
    masks: tuple[MaskSection, ...] = Field((), description="How classified columns are masked, where not as their class is.")
    laundering: Literal["refuse", "hold"] = Field(
        "refuse",
        description="What becomes of a statement that would store classified values where nothing masks them: it is refused, or held.",
    )
    columns: dict[Name, Annotated[ColumnSection, BeforeValidator(as_column)]] = Field(
        default_factory=dict,
        description="Classes of columns (globs of schema.relation.column), stronger than names and comments; the first match holds.",
    )
    limits: tuple[LimitSection, ...] = Field(
        (), description="How much may be taken, measure by measure in place of the built-in limits for whom they match."
    )
    trusted_functions: BareNames = Field((), description=_TRUSTED)
