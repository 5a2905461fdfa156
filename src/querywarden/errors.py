"""Error families by who must act, and the one table of reasons: ReasonCode → SQLSTATE → MySQL errno → audit event.

PeerViolation         a side broke the protocol: the session ends
Refusal               we said no: the statement ends (in pure code a refusal is a return value, never raised)
IdentityRejected      the credential is no good: one public sentence for all causes
DependencyFailure     server, log, keys or store unavailable: closed, never open
ConfigurationError    start-up: file, line, what is wrong, what would be right
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class QuerywardenError(Exception):
    """The root of all errors that the project raises itself."""


class PeerViolation(QuerywardenError):
    """A client or a server broke the protocol; the text names the message and the rule, never its contents."""


class IdentityRejected(QuerywardenError):
    """A credential was not accepted. `cause` is a short private code for the log, never for the client."""

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.detail = detail


class DependencyFailure(QuerywardenError):
    """Something the proxy depends on does not answer; the text is public and names the part, not its secrets."""


@dataclass
class ConfigurationError(QuerywardenError):
    """A configuration or policy file is wrong: where, what, and what would be right."""

    message: str
    file: str | None = None
    line: int | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        return f"{place}{self.message}" + (f" ({self.hint})" if self.hint else "")


class ReasonCode(StrEnum):
    """Why a statement or a session was refused; the key of the table below."""

    POLICY_DENIED = "policy_denied"
    APPROVAL_REQUIRED = "approval_required"
    APPROVAL_DENIED = "approval_denied"
    APPROVAL_EXPIRED = "approval_expired"
    APPROVAL_WITHDRAWN = "approval_withdrawn"
    APPROVALS_UNAVAILABLE = "approvals_unavailable"
    APPROVALS_PENDING = "approvals_pending"
    BULK_WRITE = "bulk_write"
    EXPORT = "export"
    CLASSIFIED_PREDICATE = "classified_predicate"
    FREEZE = "freeze"
    BUDGET = "budget"
    DESTRUCTIVE = "destructive"
    UNCONDITIONAL_WRITE = "unconditional_write"
    SCHEMA_CHANGE = "schema_change"
    PRIVILEGE_CHANGE = "privilege_change"
    SERVER_ACCESS = "server_access"
    DYNAMIC_SQL = "dynamic_sql"
    ANALYSIS_SETTING = "analysis_setting"
    READ_ONLY_PRINCIPAL = "read_only_principal"
    CLASSIFIED_COPY = "classified_copy"
    CLASSIFIED_WRITE = "classified_write"
    MASKED_WRITE_BACK = "masked_write_back"
    UNANALYSABLE = "unanalysable"
    UNKNOWN_STATEMENT = "unknown_statement"
    STATEMENT_TOO_LARGE = "statement_too_large"
    ROW_TOO_LARGE = "row_too_large"
    ROW_LIMIT = "row_limit"
    BYTE_LIMIT = "byte_limit"
    TIME_LIMIT = "time_limit"
    UNSUPPORTED = "unsupported"
    LOG_UNAVAILABLE = "log_unavailable"
    CATALOGUE_UNAVAILABLE = "catalogue_unavailable"
    SCHEMA_MOVED = "schema_moved"
    CREDENTIAL_EXPIRED = "credential_expired"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Reason:
    """The codes under which a reason is told: to PostgreSQL clients, to MySQL clients, in the log."""

    sqlstate: str
    errno: int
    event: str
    meaning: str
    """What it says to a person; the reference page is made of it."""


REASONS: dict[ReasonCode, Reason] = {
    ReasonCode.POLICY_DENIED: Reason("42501", 1142, "db.query.decided", "A rule of the policy denies the statement, or none allows it."),
    ReasonCode.APPROVAL_REQUIRED: Reason(
        "42501", 1142, "db.query.decided", "The statement needs an approval; the text holds its id. Run it again once it is approved."
    ),
    ReasonCode.APPROVAL_DENIED: Reason("42501", 1142, "approval.denied", "The approval was denied by an approver."),
    ReasonCode.APPROVAL_EXPIRED: Reason("42501", 1142, "approval.expired", "Nobody approved the statement in time."),
    ReasonCode.APPROVAL_WITHDRAWN: Reason(
        "57014", 1317, "approval.withdrawn", "The wait for an approval was cancelled by the client or for it."
    ),
    ReasonCode.APPROVALS_UNAVAILABLE: Reason(
        "57P03",
        1105,
        "db.query.decided",
        "The statement needs an approval, and none can be asked for: the control store doesn't answer, or the log can't be written.",
    ),
    ReasonCode.APPROVALS_PENDING: Reason(
        "53400",
        1226,
        "db.query.decided",
        "The statement needs an approval, and its principal has as many requests pending as `approvals.pending_max` allows.",
    ),
    ReasonCode.BULK_WRITE: Reason("42501", 1142, "db.query.decided", "It changes many rows, as the server's planner expects."),
    ReasonCode.EXPORT: Reason("42501", 1142, "db.query.decided", "It exports or multiplies whole relations."),
    ReasonCode.CLASSIFIED_PREDICATE: Reason(
        "42501", 1142, "db.query.decided", "A condition, order or computation on a masked column would tell about its values."
    ),
    ReasonCode.FREEZE: Reason("42501", 1142, "db.query.decided", "A freeze period is in force, and changes wait."),
    ReasonCode.BUDGET: Reason("54000", 1226, "db.query.decided", "The principal's budget for this hour or day is used up."),
    ReasonCode.BYTE_LIMIT: Reason(
        "54000", 1104, "db.query.completed", "The result has more bytes than the principal may take; it ends there."
    ),
    ReasonCode.TIME_LIMIT: Reason(
        "57014", 1317, "db.query.completed", "The statement has run for longer than the principal may have it run."
    ),
    ReasonCode.DESTRUCTIVE: Reason("42501", 1142, "db.query.decided", "It drops or empties database objects."),
    ReasonCode.UNCONDITIONAL_WRITE: Reason(
        "42501", 1142, "db.query.decided", "An UPDATE or DELETE without a condition, or with one that is always true."
    ),
    ReasonCode.SCHEMA_CHANGE: Reason("42501", 1142, "db.query.decided", "It changes the schema where that needs an approval."),
    ReasonCode.PRIVILEGE_CHANGE: Reason(
        "42501", 1227, "db.query.decided", "It changes privileges, roles or ownership, or switches the role."
    ),
    ReasonCode.SERVER_ACCESS: Reason(
        "42501", 1227, "db.query.decided", "It reaches the server's files, programs, network or administration."
    ),
    ReasonCode.DYNAMIC_SQL: Reason("42501", 1142, "db.query.decided", "It runs text as SQL out of the analysis' sight."),
    ReasonCode.ANALYSIS_SETTING: Reason(
        "42501", 1227, "db.query.decided", "It changes a setting that the analysis of statements rests on."
    ),
    ReasonCode.READ_ONLY_PRINCIPAL: Reason("42501", 1142, "db.query.decided", "The principal (an agent, say) may only read."),
    ReasonCode.CLASSIFIED_COPY: Reason(
        "42501", 1142, "db.query.decided", "COPY out can't be masked, and this one may carry classified columns."
    ),
    ReasonCode.CLASSIFIED_WRITE: Reason("42501", 1142, "db.query.decided", "It may store classified values where nothing masks them."),
    ReasonCode.MASKED_WRITE_BACK: Reason("42501", 1143, "db.query.decided", "It would store a masked value in place of the real one."),
    ReasonCode.UNANALYSABLE: Reason(
        "42501", 1064, "db.query.decided", "The text can't be analysed. A syntax error has SQLSTATE 42601 and a position."
    ),
    ReasonCode.UNKNOWN_STATEMENT: Reason("42501", 1235, "db.query.decided", "A kind of statement that Querywarden doesn't know."),
    ReasonCode.STATEMENT_TOO_LARGE: Reason("54000", 1153, "db.query.decided", "The text is longer than `limits.statement_bytes_max`."),
    ReasonCode.ROW_TOO_LARGE: Reason("54000", 1153, "db.query.completed", "A row is too large to be masked; the result ends there."),
    ReasonCode.ROW_LIMIT: Reason(
        "54000", 1104, "db.query.completed", "The result has more rows than the principal may take; it ends there."
    ),
    ReasonCode.UNSUPPORTED: Reason(
        "0A000", 1235, "db.query.decided", "A message that isn't passed on, or a name that the session doesn't know (26000, 34000)."
    ),
    ReasonCode.LOG_UNAVAILABLE: Reason("53100", 1021, "log.unavailable", "The audit log can't be written; nothing runs until it can."),
    ReasonCode.SCHEMA_MOVED: Reason(
        "40001", 1213, "db.query.completed", "Another session changed the schema while the statement waited. Run it again."
    ),
    ReasonCode.CATALOGUE_UNAVAILABLE: Reason(
        "57P03", 1105, "db.query.decided", "What the database holds can't be read, so nothing could be masked."
    ),
    ReasonCode.CREDENTIAL_EXPIRED: Reason(
        "57P01", 3169, "conn.closed", "The credential has expired or was revoked; the session ends between statements."
    ),
    ReasonCode.DRAINING: Reason("57P01", 1053, "conn.closed", "The proxy is shutting down; the session ends once it is idle."),
}
