"""The built-in baseline: the rules in force where no policy file says otherwise.

Production is strict, staging asks before it destroys, development and sandbox are free for people and services. What reaches
out of the database, changes rights or escapes the analysis is refused everywhere, and what would tell about masked values is held
everywhere. Agents read, and get a bounded number of rows.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from querywarden.errors import ReasonCode
from querywarden.model.decision import Budget, BudgetMetric, BudgetPeriod
from querywarden.model.facts import Hazard, Verb
from querywarden.model.principal import PrincipalKind
from querywarden.model.resource import Environment
from querywarden.policy.language import Effect, Group, Limit, Policy, Property, Rule, Trait, What, Where, Who

AGENT_ROWS_MAX = 10_000
"""Rows per statement for an agent: far above what a model can read, far below a table worth stealing."""
BULK_ROWS_PRODUCTION = 1_000
"""Rows that one statement may change in production: more than a person looks through, and than an ORM's batch holds."""
BULK_ROWS_STAGING = 100_000
"""Rows that one statement may change in staging: what takes the server a while, and a restored copy to undo."""
GUESSES_PER_HOUR = 300
"""Conditions by which a person or agent asks in an hour whether a masked value is this one: enough to look up those whom they have to do
with, too few to try a list of names. Services look up by e-mail address all day, and what they look up is not theirs to choose."""

_AGENTS = Who(Group(kinds=frozenset({PrincipalKind.AGENT})))
_OTHERS = Who(Group(kinds=frozenset({PrincipalKind.HUMAN, PrincipalKind.SERVICE})))
_PRODUCTION = Where(environments=frozenset({Environment.PRODUCTION}))
_STAGING = Where(environments=frozenset({Environment.STAGING}))
_EVERYWHERE = Where()


def _having(*properties: Property, without: tuple[Property, ...] = ()) -> What:
    return What(properties=frozenset(properties), without=frozenset(without))


def _rule(
    name: str,
    effect: Effect,
    what: What,
    reason: ReasonCode,
    sentence: str,
    hint: str,
    where: Where = _EVERYWHERE,
    who: Who = Who(),
    is_fixed: bool = False,
) -> Rule:
    return Rule(f"baseline.{name}", effect, who, where, what, reason, sentence, hint, is_fixed=is_fixed, is_baseline=True)


_UNKNOWN_MEANS_NO = (
    _rule(
        "unknown_statement", Effect.DENY, What(verbs=frozenset({Verb.UNKNOWN})), ReasonCode.UNKNOWN_STATEMENT,
        "This kind of statement is not known to Querywarden.",
        "Use a statement of another kind; what can't be analysed is never let through.",
        is_fixed=True,
    ),
    _rule(
        "analysis_setting", Effect.DENY, _having(Hazard.ANALYSIS_SETTING), ReasonCode.ANALYSIS_SETTING,
        "This setting may not be changed through Querywarden, since the analysis of statements rests on it.",
        "Leave the setting out: statements are read with standard_conforming_strings on and client_encoding UTF8.",
        is_fixed=True,
    ),
)  # fmt: skip

_AGENT_RULES = (
    _rule(
        "agent_read_only", Effect.DENY, _having(without=(Trait.READ_ONLY,)), ReasonCode.READ_ONLY_PRINCIPAL,
        "Agents may only read: this statement changes something, exports, or runs code that might.",
        "Use SELECT, SHOW or EXPLAIN without ANALYZE; for a change, propose the statement to a person who may run it.",
        who=_AGENTS,
    ),
)  # fmt: skip

_REFUSED_EVERYWHERE = (
    _rule(
        "privilege", Effect.DENY, _having(Hazard.PRIVILEGE), ReasonCode.PRIVILEGE_CHANGE,
        "Privileges, roles and ownership are not changed through Querywarden.",
        "Ask the database's administrators, who change them on a connection of their own.",
    ),
    _rule(
        "role_switch", Effect.DENY, _having(Hazard.ROLE_SWITCH), ReasonCode.PRIVILEGE_CHANGE,
        "Switching the role of the session is not allowed.",
        "Work as the session's own role, or connect to a database that is configured with the role you need.",
    ),
    _rule(
        "file_access", Effect.DENY, _having(Hazard.FILE_ACCESS), ReasonCode.SERVER_ACCESS,
        "The files of the database server are out of reach.",
        "Use COPY … FROM STDIN or COPY … TO STDOUT (psql: \\copy), which read and write files on your side.",
    ),
    _rule(
        "program", Effect.DENY, _having(Hazard.PROGRAM), ReasonCode.SERVER_ACCESS,
        "Programs are not run on the database server.",
        "Use COPY … TO STDOUT (psql: \\copy … to program) and run the program on your side.",
    ),
    _rule(
        "network", Effect.DENY, _having(Hazard.NETWORK), ReasonCode.SERVER_ACCESS,
        "The database server may not be used to reach other hosts.",
        "Connect to the other database through Querywarden and combine the results on your side.",
    ),
    _rule(
        "code_loading", Effect.DENY, _having(Hazard.CODE_LOADING), ReasonCode.SERVER_ACCESS,
        "Libraries, extensions and languages are not loaded through Querywarden.",
        "Ask the database's administrators to install what you need.",
    ),
    _rule(
        "server_admin", Effect.DENY, _having(Hazard.SERVER_ADMIN), ReasonCode.SERVER_ACCESS,
        "The database server is not administered through Querywarden.",
        "Ask the database's administrators; to stop a statement of your own, cancel it from its client (psql: Ctrl-C).",
    ),
    _rule(
        "dynamic_sql", Effect.DENY, _having(Hazard.DYNAMIC_SQL), ReasonCode.DYNAMIC_SQL,
        "The statement runs text as SQL that can't be analysed beforehand.",
        "Send the inner statements themselves, one by one.",
    ),
    _rule(
        "dangerous_function", Effect.DENY, _having(Hazard.DANGEROUS_FUNCTION), ReasonCode.SERVER_ACCESS,
        "The statement calls a built-in function that is not on the list of harmless ones.",
        "Leave the function out; if your work needs it, ask the owner of the policy for a rule that allows it by name.",
    ),
    _rule(
        "two_phase", Effect.DENY, _having(Hazard.TWO_PHASE), ReasonCode.UNSUPPORTED,
        "Two-phase transactions are not supported through Querywarden.",
        "End the transaction with COMMIT or ROLLBACK.",
    ),
)  # fmt: skip

CLASSIFIED_WRITE = _rule(
    "classified_write", Effect.DENY, _having(Trait.CLASSIFIED_WRITE), ReasonCode.CLASSIFIED_WRITE,
    "The statement may store classified values where nothing masks them.",
    "Name source and target columns one by one, and leave classified ones out or store them in columns of the same class; "
    "commit an open schema change first.",
    is_fixed=True,
)  # fmt: skip
"""A policy may say that it holds instead (`laundering: hold`), but not put it out of force."""

_CLASSIFIED = (
    _rule(
        "classified_copy", Effect.DENY, _having(Trait.CLASSIFIED_COPY), ReasonCode.CLASSIFIED_COPY,
        "This COPY can't be masked, and it may carry classified columns.",
        "Run the query as a SELECT, whose rows are masked, or COPY in UTF-8 and another form, or without classified columns.",
        is_fixed=True,
    ),
    CLASSIFIED_WRITE,
    _rule(
        "masked_write_back", Effect.DENY, _having(Trait.MASKED_WRITE_BACK), ReasonCode.MASKED_WRITE_BACK,
        "The statement would store a masked value in place of the real one, which would be lost.",
        "Leave masked columns out of the UPDATE or INSERT; have an ORM write changed columns only, and don't save what was read masked.",
        is_fixed=True,
    ),
)  # fmt: skip

_TELLING = (
    _rule(
        "classified_predicate", Effect.HOLD, _having(Trait.CLASSIFIED_PREDICATE), ReasonCode.CLASSIFIED_PREDICATE,
        "A condition, an order or a computation on a masked column would tell about its values.",
        "Compare masked columns by =, IN or IS NULL only, or sort and search by another column; else ask someone who may approve it.",
    ),
)  # fmt: skip

_ROW_SECURITY = (
    _rule(
        "row_security", Effect.DENY, _having(Trait.ROW_SECURITY_OFF), ReasonCode.POLICY_DENIED,
        "Row-level security stays on where classified columns are held.",
        "Leave `SET row_security = off` out; pg_dump sends it, and is known by its application_name.",
    ),
)  # fmt: skip

_DESTRUCTIVE = "The statement drops or empties database objects, and what they hold is lost."
_UNCONDITIONAL = "The statement changes every row of a table: its condition is missing or always true."
_UNCONDITIONAL_HINT = "Add a WHERE clause that names the rows to change, for instance by their key."

_EXPORT = (
    Rule(
        "baseline.catalogue_export", Effect.ALLOW, _OTHERS,
        what=What(verbs=frozenset({Verb.COPY_OUT}), relations=("pg_catalog.*", "information_schema.*", "pg_temp.*")),
        sentence="The catalogues, and the session's own temporary tables, may be exported whole.",
        overrides=frozenset({"baseline.whole_relation_export"}), is_baseline=True,
    ),
    _rule(
        "whole_relation_export", Effect.HOLD, _having(Hazard.WHOLE_RELATION_EXPORT), ReasonCode.EXPORT,
        "The statement exports a whole relation. In production that needs an approval.",
        "Use COPY (SELECT … WHERE …) TO STDOUT or a SELECT for the rows that you need, or ask someone who may approve it.",
        _PRODUCTION,
    ),
)  # fmt: skip


def _bulk(environment: str, rows: int, where: Where) -> Rule:
    return _rule(
        f"bulk_write{'' if environment == 'production' else f'_{environment}'}",
        Effect.HOLD,
        What(
            verbs=frozenset({Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE}),
            without=frozenset({Trait.TEMPORARY}),
            rows_over=rows,
            spares_values=True,
        ),
        ReasonCode.BULK_WRITE,
        f"The statement changes more than {rows} rows, as far as the server can tell. In {environment} that needs an approval.",
        "Change fewer rows at a time, by their keys, or ask someone who may approve it; where the estimate is wrong, ANALYZE helps.",
        where,
    )


_BY_ENVIRONMENT = (
    _rule(
        "destructive", Effect.DENY, _having(Hazard.DESTRUCTIVE_DDL, without=(Trait.TEMPORARY,)), ReasonCode.DESTRUCTIVE,
        _DESTRUCTIVE + " That is not allowed in production.",
        "Rename the object instead, or delete rows with a WHERE clause; a temporary object may be dropped as pg_temp.name.",
        _PRODUCTION,
    ),
    _rule(
        "unconditional", Effect.DENY, _having(Hazard.UNCONDITIONAL, Hazard.TAUTOLOGICAL, without=(Trait.TEMPORARY,)),
        ReasonCode.UNCONDITIONAL_WRITE,
        _UNCONDITIONAL + " That is not allowed in production.",
        _UNCONDITIONAL_HINT,
        _PRODUCTION,
    ),
    _rule(
        "destructive_staging", Effect.HOLD, _having(Hazard.DESTRUCTIVE_DDL, without=(Trait.TEMPORARY,)), ReasonCode.DESTRUCTIVE,
        _DESTRUCTIVE + " In staging that needs an approval.",
        "Try it in a development database first, then ask someone who may approve it.",
        _STAGING,
    ),
    _rule(
        "unconditional_staging", Effect.HOLD, _having(Hazard.UNCONDITIONAL, Hazard.TAUTOLOGICAL, without=(Trait.TEMPORARY,)),
        ReasonCode.UNCONDITIONAL_WRITE,
        _UNCONDITIONAL + " In staging that needs an approval.",
        _UNCONDITIONAL_HINT,
        _STAGING,
    ),
    _bulk("production", BULK_ROWS_PRODUCTION, _PRODUCTION),
    _bulk("staging", BULK_ROWS_STAGING, _STAGING),
    *_EXPORT,
    _rule(
        "cross_join", Effect.HOLD, _having(Hazard.CROSS_JOIN), ReasonCode.EXPORT,
        "The statement combines every row of a relation with every row of another. In production that needs an approval.",
        "Join the relations on a condition, or ask someone who may approve it.",
        _PRODUCTION,
    ),
    _rule(
        "exclusive_lock", Effect.HOLD, _having(Hazard.EXCLUSIVE_LOCK), ReasonCode.APPROVAL_REQUIRED,
        "The lock keeps others from working with the relation. In production that needs an approval.",
        "Lock the rows that you need with SELECT … FOR UPDATE, or ask someone who may approve it.",
        _PRODUCTION,
    ),
    _rule(
        "schema_change", Effect.HOLD, _having(Hazard.SCHEMA_CHANGE, without=(Trait.TEMPORARY,)), ReasonCode.SCHEMA_CHANGE,
        "Changes of the schema need an approval in production.",
        "Try it in a staging or development database, then ask someone who may approve it; temporary tables are free.",
        _PRODUCTION,
    ),
    _rule(
        "volatile_function", Effect.HOLD, _having(Trait.VOLATILE_FUNCTION), ReasonCode.APPROVAL_REQUIRED,
        "The statement calls a function of the database's own that may change anything; in production that needs an approval.",
        "Write the change itself as INSERT, UPDATE or DELETE, or ask the owner of the policy to trust the function by name.",
        _PRODUCTION,
    ),
    _rule(
        "call", Effect.HOLD, What(verbs=frozenset({Verb.CALL}), without=frozenset({Trait.VOLATILE_FUNCTION, Trait.TRUSTED_CALL})),
        ReasonCode.APPROVAL_REQUIRED,
        "Calls of procedures that the catalogue does not have need an approval in production.",
        "Check the procedure's name, or write the change itself as INSERT, UPDATE or DELETE.",
        _PRODUCTION,
    ),
)  # fmt: skip

_ALLOWED = (
    Rule(
        "baseline.people_and_services", Effect.ALLOW, _OTHERS, sentence="People and services may do what no other rule holds or denies.",
        is_baseline=True,
    ),
    Rule(
        "baseline.agents_read", Effect.ALLOW, _AGENTS, what=_having(Trait.READ_ONLY), sentence="Agents may read.", is_baseline=True,
    ),
)  # fmt: skip

BASELINE_RULES = (
    *_UNKNOWN_MEANS_NO,
    *_AGENT_RULES,
    *_REFUSED_EVERYWHERE,
    *_CLASSIFIED,
    *_TELLING,
    *_ROW_SECURITY,
    *_BY_ENVIRONMENT,
    *_ALLOWED,
)

FIXED_RULES = tuple(rule for rule in BASELINE_RULES if rule.is_fixed)
"""The rules that hold under every policy, also one that does not extend the baseline: without them nothing else can be trusted."""

_LAUNDERING_HELD = replace(
    CLASSIFIED_WRITE,
    effect=Effect.HOLD,
    sentence="The statement may store classified values where nothing masks them. That needs an approval.",
)


def built_in_rules(is_extended: bool, holds_laundering: bool) -> tuple[Rule, ...]:
    """The rules that stand beside those of a policy: all of the baseline, or the fixed ones; laundering is refused by them, or held."""
    rules = BASELINE_RULES if is_extended else FIXED_RULES
    return tuple(_LAUNDERING_HELD if rule is CLASSIFIED_WRITE and holds_laundering else rule for rule in rules)


BASELINE_LIMITS = (
    Limit("baseline.agent_rows", _AGENTS, rows_max=AGENT_ROWS_MAX),
    Limit(
        "baseline.guesses",
        Who(Group(kinds=frozenset({PrincipalKind.HUMAN, PrincipalKind.AGENT}))),
        budgets=(Budget("baseline.guesses", BudgetMetric.GUESSES, BudgetPeriod.HOUR, GUESSES_PER_HOUR),),
    ),
)


def fingerprint(*values: object) -> str:
    """The SHA-256 of rules as they are written, the same in every process: sets are taken in order."""
    return sha256("\n".join(_canonical(value) for value in values).encode()).hexdigest()


def _canonical(value: object) -> str:
    if isinstance(value, frozenset):
        return "{" + ",".join(sorted(_canonical(item) for item in value)) + "}"
    if isinstance(value, tuple):
        return "(" + ",".join(_canonical(item) for item in value) + ")"
    slots = getattr(type(value), "__dataclass_fields__", None)
    if slots is not None:
        return type(value).__name__ + "(" + ",".join(f"{name}={_canonical(getattr(value, name))}" for name in slots) + ")"
    return str(value) if value is not None else "~"


BASELINE = Policy(
    version=fingerprint(BASELINE_RULES, BASELINE_LIMITS),
    rules=BASELINE_RULES,
    limits_default=BASELINE_LIMITS,
    name="baseline",
)
"""The policy that needs no policy file."""
