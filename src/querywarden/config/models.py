"""The configuration file's settings: every name that may stand in it, with its default and what it does."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo

from querywarden.config.approval_settings import ApiSettings, ApprovalSettings, WebhookSettings
from querywarden.config.setting_kinds import (
    DatabaseName,
    ListenerTls,
    Names,
    PathSetting,
    Port,
    Seconds,
    Settings,
    all_defaults,
    is_https_or_loopback,
    is_loopback,
)
from querywarden.model.limits import Limits
from querywarden.model.principal import PrincipalKind
from querywarden.model.resource import Environment
from querywarden.session.effects import Durability

__all__ = [
    "AdminSettings", "AnalysisSettings", "ApiSettings", "ApprovalSettings", "AuditSettings", "CatalogueSettings", "ClaimSettings",
    "Config", "ControlSettings", "DatabaseSettings", "DurabilitySettings", "IdentitySettings", "IssuerSettings", "LimitSettings",
    "ListenerSettings", "ListenerTls", "LogFormat", "LogLevel", "LogSettings", "MaskingSettings", "PolicySettings", "ServerSettings",
    "ServerTls", "ServiceTokenSettings", "Settings", "TlsMode", "WebhookSettings", "is_https_or_loopback", "is_loopback",
]  # fmt: skip

_LIMITS = Limits()


def _absolute_database_url(url: str, info: ValidationInfo) -> str:
    """The path of a SQLite URL is relative to the configuration file like any other path."""
    base = (info.context or {}).get("base")
    prefix = "sqlite:///"
    if base is None or not url.startswith(prefix) or url.startswith(prefix + "/") or url == prefix:
        return url
    return f"{prefix}{Path(base) / url.removeprefix(prefix)}"


def _issuer_url(url: str) -> str:
    """An issuer is asked for its keys, so its address must be one that nobody on the way can change."""
    if not is_https_or_loopback(url):
        raise ValueError("an issuer's URL must begin with https:// (http:// is accepted for loopback addresses only)")
    return url


class ListenerSettings(Settings):
    """An address where clients connect."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(6432, description="TCP port to listen on; 0 takes any free one.")
    tls: ListenerTls | None = Field(None, description="Certificate and key; without them the listener accepts plaintext, on loopback only.")
    allow_plaintext_loopback: bool = Field(
        False, description="Accept logins without TLS on this listener; its host must be a loopback address, since tokens travel in clear."
    )
    database: DatabaseName | None = Field(
        None, description="Bind the listener to one configured database: clients may then name any, and reach this one."
    )


class TlsMode(StrEnum):
    """How far TLS towards a server is insisted on, as libpq's `sslmode`."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class ServerTls(Settings):
    """TLS towards a server."""

    mode: TlsMode = Field(TlsMode.PREFER, description="disable, prefer, require, verify-ca or verify-full, as in libpq.")
    ca: PathSetting | None = Field(None, description="PEM file of the authorities behind the server's certificate; default: the system's.")
    certificate: PathSetting | None = Field(None, description="PEM file with the proxy's client certificate, if the server asks for one.")
    key: PathSetting | None = Field(None, description="PEM file with the key of the client certificate.")


class ServerSettings(Settings):
    """The PostgreSQL server behind a configured database, and the proxy's account there."""

    host: str = Field(description="Host name or address of the server.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(5432, description="TCP port of the server.")
    database: str = Field(description="Name of the database on the server.")
    role: str = Field(description="Role that the proxy logs in with.")
    password: SecretStr | None = Field(None, description="Password of the role; better given as ${NAME} or by password_file.")
    password_file: PathSetting | None = Field(None, description="File whose first line is the password of the role.")
    tls: ServerTls = Field(default_factory=all_defaults(ServerTls), description="TLS towards the server.")


class DatabaseSettings(Settings):
    """A database that clients reach by its name here."""

    server: ServerSettings = Field(description="The server behind it.")
    environment: Environment = Field(
        Environment.PRODUCTION, description="production, staging, development or sandbox: the built-in rules are strictest in production."
    )


class ClaimSettings(Settings):
    """Where an issuer's tokens say who is speaking; JSON pointers into the claims."""

    subject: str = Field("/sub", description="Pointer to the subject.")
    groups: str = Field("/groups", description="Pointer to the groups: a list or a space-separated text; absent means no groups.")
    group_prefix: str = Field("", description="Put before each group, to keep the groups of several issuers apart.")
    kind: str | None = Field(None, description="Pointer to what the principal is; see kinds.")
    kinds: dict[str, PrincipalKind] = Field(
        default_factory=dict, description="What the kind claim's values mean: human, agent or service; these three mean themselves."
    )
    agent_clients: Names = Field((), description="Client ids (azp) whose tokens belong to agents.")


class IssuerSettings(Settings):
    """An OIDC issuer whose tokens are accepted as passwords."""

    issuer: Annotated[str, AfterValidator(_issuer_url)] = Field(description="The issuer's URL, byte for byte as in its discovery.")
    audience: Annotated[str, Field(min_length=1)] = Field(description="The audience that tokens for this proxy carry.")
    algorithms: Names = Field(
        ("RS256", "PS256", "ES256", "EdDSA"), description="Signature algorithms that are accepted; symmetric ones and none never are."
    )
    types: Names = Field(("at+jwt",), description="Accepted typ header values; some providers say JWT for access tokens.")
    clients: Names = Field((), description="Client ids (azp or client_id) that are accepted; empty: all.")
    scope: str | None = Field(None, description="Scope that a token must have, for example db:connect.")
    leeway_seconds: Annotated[int, Field(ge=0, le=60)] = Field(30, description="Clock difference that is forgiven.")
    lifetime_seconds_max: Annotated[int, Field(ge=60)] = Field(86_400, description="Tokens valid for longer than this are refused.")
    ca: PathSetting | None = Field(None, description="PEM file of the authorities behind the issuer's certificate; default: the system's.")
    claims: ClaimSettings = Field(default_factory=all_defaults(ClaimSettings), description="Where the claims are.")


class ServiceTokenSettings(Settings):
    """Service tokens of the proxy's own."""

    enabled: bool = Field(True, description="Accept service tokens made by `querywarden token create`.")


class IdentitySettings(Settings):
    """Who may speak: issuers and service tokens."""

    issuers: tuple[IssuerSettings, ...] = Field((), description="OIDC issuers whose tokens are accepted.")
    service_tokens: ServiceTokenSettings = Field(
        default_factory=all_defaults(ServiceTokenSettings), description="Service tokens of the proxy's own."
    )
    recheck_seconds: Seconds = Field(5.0, description="How often open sessions are checked for an expired or revoked credential.")


class ControlSettings(Settings):
    """The control store: service tokens, approvals, budgets and what else several proxies share, by SQLAlchemy URL."""

    url: Annotated[str, AfterValidator(_absolute_database_url)] = Field(
        "sqlite:///data/control.db", description="SQLAlchemy URL: a SQLite file, or PostgreSQL for several proxies.", repr=False
    )


class PolicySettings(Settings):
    """The policy file over the built-in rules."""

    file: PathSetting | None = Field(None, description="YAML file with rules; default: the built-in rules alone.")


class MaskingSettings(Settings):
    """What masked values are made with."""

    key_file: PathSetting = Field(Path("data/masking.key"), description="Key of the masks; made on first start (0600).")


class DurabilitySettings(Settings):
    """How far a record must have come before its statement is released: `written` to the kernel, or `durable` on disk."""

    reads: Durability = Field(Durability.WRITTEN, description="For statements that only read.")
    writes: Durability = Field(Durability.DURABLE, description="For statements that change something or were refused.")


class AuditSettings(Settings):
    """The audit log."""

    directory: PathSetting = Field(Path("data/audit"), description="Directory of the log; one proxy writes to it.")
    durability: DurabilitySettings = Field(
        default_factory=all_defaults(DurabilitySettings), description="written or durable, by kind of statement."
    )


class LimitSettings(Settings):
    """Limits that operators may want to move; the others are fixed."""

    sessions_max: Annotated[int, Field(ge=1)] = Field(_LIMITS.sessions_max, description="Sessions open at once, over all listeners.")
    sessions_per_source_max: Annotated[int, Field(ge=1)] = Field(
        _LIMITS.sessions_per_source_max, description="Sessions open at once from one address."
    )
    logins_per_source_concurrent_max: Annotated[int, Field(ge=1)] = Field(
        _LIMITS.logins_per_source_concurrent_max, description="Logins under way at once from one address."
    )
    login_seconds_max: Seconds = Field(_LIMITS.login_seconds_max, description="From accepting a connection to the end of its login.")
    server_connect_seconds_max: Seconds = Field(_LIMITS.server_connect_seconds_max, description="To connect to a server, TLS included.")
    cancel_seconds_max: Seconds = Field(_LIMITS.cancel_seconds_max, description="For a server to answer a cancel request.")
    drain_seconds_max: Seconds = Field(_LIMITS.drain_seconds_max, description="For sessions to end by themselves after SIGTERM.")
    statement_bytes_max: Annotated[int, Field(ge=1024, le=1 << 30)] = Field(
        _LIMITS.statement_bytes_max, description="Length of a statement's text."
    )
    analysis_seconds_max: Seconds = Field(_LIMITS.analysis_seconds_max, description="To analyse a long statement; then it is refused.")

    def limits(self) -> Limits:
        """All limits, with those that the configuration moves."""
        return replace(_LIMITS, **self.model_dump())


class AnalysisSettings(Settings):
    """The analysis of long statements, in processes of its own."""

    workers: Annotated[int, Field(ge=1, le=16)] = Field(1, description="Worker processes for long statements; started when first needed.")


class CatalogueSettings(Settings):
    """How the classification of columns keeps up with the schema."""

    poll_seconds: Seconds = Field(5.0, description="How often a database in use is asked whether its schema has changed.")


class AdminSettings(Settings):
    """The HTTP port for health and metrics."""

    enabled: bool = Field(True, description="Serve /healthz, /readyz and /metrics.")
    host: str = Field("127.0.0.1", description="Address of the HTTP port; it has no login, so keep it private.")
    port: Port = Field(9432, description="TCP port; 0 takes any free one.")


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    JSON = "json"
    TERMINAL = "terminal"


class LogLevel(StrEnum):
    """The least important log lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogSettings(Settings):
    """The operator's log on stderr (the audit log is another thing)."""

    format: LogFormat = Field(LogFormat.AUTO, description="json, terminal, or auto: terminal where stderr is one.")
    level: LogLevel = Field(LogLevel.INFO, description="debug, info, warning or error.")


class Config(Settings):
    """Everything that the configuration file says, with defaults for what it leaves out."""

    listeners: tuple[ListenerSettings, ...] = Field(description="Addresses where clients connect.")
    databases: dict[DatabaseName, DatabaseSettings] = Field(description="The databases that clients reach.")
    identity: IdentitySettings = Field(default_factory=all_defaults(IdentitySettings), description="Who may speak.")
    control: ControlSettings = Field(default_factory=all_defaults(ControlSettings), description="The control store.")
    policy: PolicySettings = Field(default_factory=all_defaults(PolicySettings), description="What they may do.")
    masking: MaskingSettings = Field(default_factory=all_defaults(MaskingSettings), description="What they may see.")
    audit: AuditSettings = Field(default_factory=all_defaults(AuditSettings), description="What is remembered.")
    limits: LimitSettings = Field(default_factory=all_defaults(LimitSettings), description="How much at once, how long.")
    analysis: AnalysisSettings = Field(default_factory=all_defaults(AnalysisSettings), description="Long statements.")
    catalogue: CatalogueSettings = Field(default_factory=all_defaults(CatalogueSettings), description="Schema changes.")
    api: ApiSettings = Field(default_factory=all_defaults(ApiSettings), description="The HTTP API, where approvers vote.")
    approvals: ApprovalSettings = Field(default_factory=all_defaults(ApprovalSettings), description="How held statements wait.")
    webhooks: tuple[WebhookSettings, ...] = Field((), description="Who is told of approvals.")
    admin: AdminSettings = Field(default_factory=all_defaults(AdminSettings), description="Health and metrics.")
    log: LogSettings = Field(default_factory=all_defaults(LogSettings), description="The operator's log.")
