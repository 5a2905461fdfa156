"""The control store's tables, and how a store of an earlier version becomes one of this version.

What a client or an approver has written lies in JSON columns: neither its length nor its characters can upset a database there.
Times are in seconds since the epoch.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.types import JSON

from querywarden.errors import ConfigurationError

SCHEMA_VERSION = 2
"""Of the tables below; a store of a later version is not touched. Version 1 had the service tokens alone."""
_LOCK = 7095443260015
"""The advisory lock under which proxies that start together create the tables one after the other."""

METADATA = MetaData()
VERSION = Table("querywarden_schema", METADATA, Column("version", Integer, primary_key=True))

TOKENS = Table(
    "querywarden_service_tokens",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(63), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("databases", JSON(none_as_null=True)),
    Column("networks", JSON(none_as_null=True)),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("secret_hash", String(64), nullable=False),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
)
# A name belongs to one token at a time, so that the log's subject means one credential; after a revocation it is free again.
Index(
    "querywarden_service_tokens_name",
    TOKENS.c.name,
    unique=True,
    sqlite_where=TOKENS.c.revoked_at.is_(None),
    postgresql_where=TOKENS.c.revoked_at.is_(None),
)

REQUESTS = Table(
    "querywarden_approval_requests",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("statement_fingerprint", String(64), nullable=False),
    Column("similarity", String(64), nullable=False),
    # A digest of who asks, and who acts for it.
    Column("requester", String(64), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("instance", String(64)),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("uses_made", Integer, nullable=False),
    Column("valid_until", BigInteger),
    Column("is_standing", Boolean, nullable=False),
    Column("settled_at", BigInteger),
    Column("settled_by", Text),
    Column("is_told", Boolean, nullable=False),
    Column("body", JSON, nullable=False),
    # What a list doesn't show of a statement: its text, parameters, plan and whatever else may be long.
    Column("texts", JSON(none_as_null=True)),
)
_IS_SHARED_QUESTION = (REQUESTS.c.state == text("'pending'")) & REQUESTS.c.instance.is_(None)
# Where nobody waits, the same question is asked once: whoever comes again finds it.
Index(
    "querywarden_approval_requests_question",
    REQUESTS.c.fingerprint,
    unique=True,
    sqlite_where=_IS_SHARED_QUESTION,
    postgresql_where=_IS_SHARED_QUESTION,
)
Index("querywarden_approval_requests_fingerprint", REQUESTS.c.fingerprint, REQUESTS.c.state)
Index("querywarden_approval_requests_statement", REQUESTS.c.statement_fingerprint, REQUESTS.c.is_standing)
Index("querywarden_approval_requests_similarity", REQUESTS.c.similarity, REQUESTS.c.created_at)
Index("querywarden_approval_requests_requester", REQUESTS.c.requester, REQUESTS.c.state)
Index("querywarden_approval_requests_state", REQUESTS.c.state, REQUESTS.c.created_at)
Index("querywarden_approval_requests_instance", REQUESTS.c.instance, REQUESTS.c.state)

VOTES = Table(
    "querywarden_approval_votes",
    METADATA,
    Column("request_id", String(32), ForeignKey(REQUESTS.c.id, ondelete="CASCADE"), primary_key=True),
    # A digest of subject and issuer: one vote each, whatever the length of a name.
    Column("approver", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("approves", Boolean, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("valid_seconds", BigInteger),
    Column("is_standing", Boolean, nullable=False),
    Column("body", JSON, nullable=False),
)

INSTANCES = Table(
    "querywarden_instances",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("beat_at", BigInteger, nullable=False),
)
SESSIONS = Table(
    "querywarden_open_sessions",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("instance", String(64), nullable=False, index=True),
    Column("opened_at", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("database", Text, nullable=False),
    Column("killed_at", BigInteger),
    Column("body", JSON, nullable=False),
    Column("kill", JSON(none_as_null=True)),
)
Index(
    "querywarden_open_sessions_killed",
    SESSIONS.c.instance,
    sqlite_where=SESSIONS.c.killed_at.is_not(None),
    postgresql_where=SESSIONS.c.killed_at.is_not(None),
)

BLOCKS = Table(
    "querywarden_blocks",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("issuer", Text),
    Column("at", BigInteger, nullable=False),
    Column("until", BigInteger),
    Column("lifted_at", BigInteger),
    Column("is_told", Boolean, nullable=False),
    Column("is_lift_told", Boolean, nullable=False),
    Column("body", JSON, nullable=False),
)
GRANTS = Table(
    "querywarden_access_grants",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("starts_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False, index=True),
    Column("revoked_at", BigInteger),
    Column("is_told", Boolean, nullable=False),
    Column("body", JSON, nullable=False),
)
USAGE = Table(
    "querywarden_usage",
    METADATA,
    # A digest of the principal's key and the database and limit's names, whose lengths nobody bounds.
    Column("key", String(64), primary_key=True),
    Column("metric", String(16), primary_key=True),
    Column("period", String(16), primary_key=True),
    Column("period_start", BigInteger, primary_key=True),
    Column("owner", String(64), nullable=False, index=True),
    Column("limit_id", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
)
OUTBOX = Table(
    "querywarden_outbox",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("target", Text, nullable=False),
    Column("event", String(64), nullable=False),
    Column("body", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Column("claimant", String(64)),
    Column("claimed_until", BigInteger, nullable=False),
    Column("is_dead", Boolean, nullable=False),
)
Index("querywarden_outbox_next", OUTBOX.c.is_dead, OUTBOX.c.next_at)
SIGHTINGS = Table(
    "querywarden_sightings",
    METADATA,
    # A digest of subject and issuer.
    Column("identity", String(64), primary_key=True),
    Column("seen_at", BigInteger, nullable=False),
    Column("body", JSON, nullable=False),
)


def has_current_schema(connection: Connection) -> bool:
    """Whether the tables are those of this version.

    Raises: ConfigurationError when they are those of a later one.
    """
    if not inspect(connection).has_table(VERSION.name):
        return False
    version = max(connection.execute(select(VERSION.c.version)).scalars(), default=0)
    if version > SCHEMA_VERSION:
        raise ConfigurationError("the control store was made by a later version", hint="start the proxy with that version")
    return version == SCHEMA_VERSION


def make_schema(connection: Connection) -> None:
    """Create the tables, or those that an earlier version didn't have; what is stored stays. All or nothing."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if has_current_schema(connection):
        return
    METADATA.create_all(connection)
    if connection.execute(update(VERSION).values(version=SCHEMA_VERSION)).rowcount == 0:
        connection.execute(insert(VERSION).values(version=SCHEMA_VERSION))
