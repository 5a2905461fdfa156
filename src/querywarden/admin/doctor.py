"""The doctor: looks at everything that the proxy depends on and says what is wrong and how to put it right."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path

import httpx
from cryptography import x509

from querywarden.config.key_files import is_private
from querywarden.config.loading import server_password
from querywarden.config.models import Config, DatabaseSettings, IssuerSettings, ListenerSettings, TlsMode, is_loopback
from querywarden.config.policy_file import load_policy
from querywarden.errors import ConfigurationError, DependencyFailure
from querywarden.identity.keyset import KeySetError, parse_keyset
from querywarden.model.catalogue import Catalogue
from querywarden.model.data_flow import DataFlow, FlowKind
from querywarden.postgresql.analysis.query_tree import data_flow_of
from querywarden.postgresql.login_settings import ServerAccount
from querywarden.postgresql.scram import ScramCache
from querywarden.postgresql.tree_question import settings_on, tree_of
from querywarden.runtime.dialer import Dialer
from querywarden.runtime.issuer_http import IssuerSource, discover, http_fetch, issuer_client
from querywarden.runtime.server_connection import ServerConnection
from querywarden.runtime.tls import listener_context

FREE_BYTES_WANTED = 1024 * 1024 * 1024
FREE_BYTES_NEEDED = 64 * 1024 * 1024
CLOCK_SECONDS_WANTED = 5.0
CLOCK_SECONDS_MAX = 30.0
CERTIFICATE_DAYS_WANTED = 14
ISSUER_SECONDS_MAX = 10.0
OLDEST_SERVER = 140000
GRANTS_PARAMETERS_SINCE = 15

_TRIED = b"SELECT c.relname AS found FROM pg_catalog.pg_class AS c"
_TRIED_PLACE = (1259, 2)
"""What the one output of that statement is made of: pg_class.relname has these numbers on every server."""
_COARSE = (
    "so names alone decide: where a statement touches classified relations, computed columns come out as NULL, COPY is refused, "
    "and conditions are held that might tell about classified values"
)


class Result(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and what puts it right where it isn't."""

    name: str
    result: Result
    finding: str
    remedy: str = ""


async def examine(config: Config) -> AsyncIterator[Check]:
    """Examine everything that a configuration names."""
    for listener in config.listeners:
        yield _listener(listener)
    for check in _files(config):
        yield check
    for name, database in config.databases.items():
        async for check in _server(config, name, database):
            yield check
    for issuer in config.identity.issuers:
        async for check in _issuer(issuer):
            yield check


def _listener(listener: ListenerSettings) -> Check:
    name = f"listener {listener.host}:{listener.port}"
    if listener.tls is None:
        return Check(name, Result.WARN, "plaintext, on loopback only", "add tls: {certificate: …, key: …} unless this is for development")
    try:
        listener_context(listener.tls)
        certificate = x509.load_pem_x509_certificate(listener.tls.certificate.read_bytes())
    except (ConfigurationError, OSError, ValueError) as error:
        return Check(name, Result.FAIL, f"the certificate can't be used: {error}", "give a PEM certificate and the key that fits it")
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    if left < timedelta(0):
        return Check(name, Result.FAIL, "the certificate has expired", "renew it, then send the proxy a SIGHUP")
    if left < timedelta(days=CERTIFICATE_DAYS_WANTED):
        return Check(name, Result.WARN, f"the certificate expires in {left.days} days", "renew it, then send the proxy a SIGHUP")
    if not is_private(listener.tls.key):
        return Check(name, Result.WARN, "others can read the private key", f"chmod 600 {listener.tls.key}")
    return Check(name, Result.OK, f"TLS, certificate valid for {left.days} days")


def _files(config: Config) -> Iterator[Check]:
    yield _log_directory(config.audit.directory)
    yield _key_file("masking key", config.masking.key_file)
    for name, database in config.databases.items():
        if database.server.password_file is not None:
            yield _key_file(f"password file of {name}", database.server.password_file, is_made=False)
    if config.policy.file is None:
        yield Check("policy", Result.OK, "the built-in rules")
        return
    try:
        policy = load_policy(config.policy.file)
    except ConfigurationError as error:
        yield Check("policy", Result.FAIL, str(error), "put the file right; `querywarden policy check` says whether it is")
    else:
        yield Check("policy", Result.OK, f"{len(policy.rules)} rules, version {policy.version[:12]}")


def _log_directory(directory: Path) -> Check:
    place = directory
    while not place.exists() and place != place.parent:
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        return Check("log directory", Result.FAIL, f"{place} can't be written", f"make {directory} writable for the proxy's account")
    free = shutil.disk_usage(place).free
    shown = f"{free / 1024**3:.1f} GiB free"
    if free < FREE_BYTES_NEEDED:
        return Check("log directory", Result.FAIL, shown, "make room: a proxy that can't write its log refuses every statement")
    if free < FREE_BYTES_WANTED:
        return Check("log directory", Result.WARN, shown, "make room before it runs out: without a log every statement is refused")
    return Check("log directory", Result.OK, f"{directory} writable, {shown}")


def _key_file(name: str, path: Path, *, is_made: bool = True) -> Check:
    try:
        if not path.exists():
            if is_made:
                return Check(name, Result.OK, "will be made on first start")
            return Check(name, Result.FAIL, f"{path} isn't there", "make it, readable by the proxy's account only")
        if not is_private(path):
            return Check(name, Result.FAIL, f"others can read {path}", f"chmod 600 {path}")
        path.open("rb").close()
    except OSError as error:
        return Check(name, Result.FAIL, f"{path}: {error.strerror}", "make it readable for the proxy's account")
    return Check(name, Result.OK, "readable by its owner only")


async def _server(config: Config, name: str, database: DatabaseSettings) -> AsyncIterator[Check]:
    limits = config.limits.limits()
    label = f"server of {name}"
    try:
        dialer = Dialer({name: database}, limits)
        server = database.server
        account = ServerAccount(name, server.database, server.role, server_password(server), database.environment)
        connection = ServerConnection(dialer, account, os.urandom, ScramCache(), "doctor", limits.high_water_bytes)
        async with asyncio.timeout(limits.login_seconds_max):
            await connection.open()
    except (ConfigurationError, DependencyFailure, TimeoutError) as error:
        finding = str(error) or "no answer in time"
        yield Check(label, Result.FAIL, finding, "check server.host, port, role and password, and the server's pg_hba.conf")
        return
    try:
        yield _server_tls(label, database, connection.certificate is not None)
        for look in (_version, _rights, _role, _understanding):
            try:
                async with asyncio.timeout(limits.login_seconds_max):
                    yield await look(label, connection)
            except (DependencyFailure, TimeoutError) as error:
                yield Check(label, Result.FAIL, str(error) or "no answer in time", "look into the server's log")
    finally:
        connection.close()


def _server_tls(label: str, database: DatabaseSettings, is_encrypted: bool) -> Check:
    server = database.server
    if server.tls.mode in (TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL):
        return Check(f"{label}: TLS", Result.OK, f"verified ({server.tls.mode.value})")
    if is_loopback(server.host):
        return Check(f"{label}: TLS", Result.OK, "encrypted" if is_encrypted else "plaintext over loopback")
    if is_encrypted:
        return Check(f"{label}: TLS", Result.WARN, "encrypted, but the server isn't verified", "set tls.mode: verify-full, and tls.ca")
    return Check(f"{label}: TLS", Result.FAIL, "plaintext over the network", "switch TLS on at the server, and set tls.mode: verify-full")


async def _version(label: str, connection: ServerConnection) -> Check:
    number = int((await connection.query("SELECT current_setting('server_version_num')"))[0][0] or b"0")
    shown = f"PostgreSQL {number // 10000}.{number % 10000}"
    if number < OLDEST_SERVER:
        return Check(f"{label}: version", Result.WARN, shown, "PostgreSQL 14 and newer are tried")
    return Check(f"{label}: version", Result.OK, shown)


async def _rights(label: str, connection: ServerConnection) -> Check:
    """Whether the role may set what sessions set: a server may reserve the prefix of our settings."""
    rows = await connection.query(
        "SELECT set_config('querywarden.subject', 'doctor', true), has_table_privilege('pg_catalog.pg_rewrite', 'SELECT')"
    )
    if rows[0][1] != b"t":
        remedy = "grant the proxy's role SELECT on pg_catalog.pg_rewrite"
        return Check(f"{label}: rights", Result.FAIL, "the role may not read pg_rewrite, so views can't be classified", remedy)
    return Check(f"{label}: rights", Result.OK, "session settings and catalogue")


async def _role(label: str, connection: ServerConnection) -> Check:
    rows = await connection.query("SELECT rolsuper, rolbypassrls, rolreplication FROM pg_roles WHERE rolname = current_user")
    names = [name for name, cell in zip(("SUPERUSER", "BYPASSRLS", "REPLICATION"), rows[0], strict=True) if cell == b"t"]
    if names:
        remedy = "give the proxy a role that owns no more than the application needs"
        return Check(f"{label}: role", Result.WARN, f"the role has {', '.join(names)}", remedy)
    return Check(f"{label}: role", Result.OK, "an ordinary role")


async def _understanding(label: str, connection: ServerConnection) -> Check:
    """Whether the server tells what it understands of a statement, which it may only do where that stays out of its log."""
    name = f"{label}: statement understanding"
    rows = await connection.query("SELECT current_setting('server_version_num')::int / 10000, quote_ident(current_user)")
    major, role = int(rows[0][0] or b"0"), (rows[0][1] or b"").decode()
    await connection.query("BEGIN READ ONLY")
    may_ask = (await connection.query(settings_on(major).decode()))[0][0] is not None
    notices = (await connection.describe(_TRIED)).notices if may_ask else ()
    await connection.query("ROLLBACK")
    if not may_ask:
        if major >= GRANTS_PARAMETERS_SINCE:
            remedy = f"run as a superuser: GRANT SET ON PARAMETER log_min_messages TO {role};"
        else:
            remedy = "upgrade to PostgreSQL 15 or newer, where the right to it can be granted; here superusers alone have it"
        return Check(name, Result.WARN, f"the role may not keep the server's answers out of its log, {_COARSE}", remedy)
    tree = tree_of(notices)
    flow = None if tree is None else data_flow_of([tree], Catalogue("none", {}))
    if isinstance(flow, DataFlow) and [(each.value.kind, each.value.sources) for each in flow.outputs or ()] == [
        (FlowKind.DIRECT, frozenset({_TRIED_PLACE}))
    ]:
        return Check(name, Result.OK, "the server tells where each column comes from")
    remedy = "PostgreSQL 14 to 18 are known; look for what else prints or takes away notices: an extension, or a pooler in between"
    return Check(name, Result.WARN, f"what the server says of a statement isn't understood, {_COARSE}", remedy)


async def _issuer(issuer: IssuerSettings) -> AsyncIterator[Check]:
    label = f"issuer {issuer.issuer}"
    try:
        async with asyncio.timeout(ISSUER_SECONDS_MAX):
            address = await discover(IssuerSource(issuer.issuer, issuer.ca), http_fetch)
            keys = parse_keyset((await http_fetch(address, issuer.ca))[0])
    except (DependencyFailure, KeySetError, TimeoutError) as error:
        remedy = "check identity.issuers[].issuer (byte for byte), ca, and the way there"
        yield Check(label, Result.FAIL, str(error) or "no answer in time", remedy)
        return
    yield Check(label, Result.OK, f"discovery and key set answer, {len(keys.keys)} keys")
    yield await _clock(issuer)


async def _clock(issuer: IssuerSettings) -> Check:
    """The issuer's Date header against the clock here: tokens are refused when the two disagree."""
    try:
        async with issuer_client(issuer.issuer, issuer.ca) as client:
            response = await client.get(f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration")
        told = parsedate_to_datetime(response.headers["date"]).timestamp()
    except (httpx.HTTPError, DependencyFailure, KeyError, ValueError, OSError):
        return Check("clock", Result.WARN, f"{issuer.issuer} tells no time", "make sure that NTP keeps the clock here")
    difference = abs(time.time() - told)
    shown = f"{difference:.0f} s from that of {issuer.issuer}"
    if difference > CLOCK_SECONDS_MAX:
        return Check("clock", Result.FAIL, shown, "set the clock by NTP: tokens will be refused as expired or not valid yet")
    if difference > CLOCK_SECONDS_WANTED:
        return Check("clock", Result.WARN, shown, "set the clock by NTP")
    return Check("clock", Result.OK, shown)
