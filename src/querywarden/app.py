"""The proxy: the only file that wires its parts together, starts them in order and stops them in the opposite one."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache, partial

import structlog
import uvloop

from querywarden import __version__
from querywarden.admin.access import AccessParts, AccessRequests
from querywarden.admin.approvals import ApprovalParts, Approvals
from querywarden.admin.ballot import Ballot
from querywarden.admin.problems import Problem, ProblemCode
from querywarden.admin.sessions import SessionControl
from querywarden.api.application import ApiServices
from querywarden.api.server import ApiServer
from querywarden.approval.request import party_of
from querywarden.audit import log_records
from querywarden.audit.record_id import RANDOM_BYTES, record_id
from querywarden.config.key_files import load_or_create_key
from querywarden.config.loading import server_password
from querywarden.config.models import Config
from querywarden.config.watch import PolicyBroken, PolicyChanged, PolicyWatch
from querywarden.errors import ConfigurationError, DependencyFailure
from querywarden.masking.key import KEY_BYTES, MaskingKey
from querywarden.model.decision import Budget
from querywarden.model.facts import Analysis
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy.access import may_connect
from querywarden.policy.language import Policy
from querywarden.policy.limits import budgets_of, sessions_max_of
from querywarden.postgresql.analysis import analyse
from querywarden.postgresql.data_flows import DataFlows
from querywarden.postgresql.login import Established, LoginSettings, Peer, ServerAccount
from querywarden.postgresql.scram import ScramCache
from querywarden.postgresql.session import PostgresSession
from querywarden.postgresql.session_context import RecordDurability, SessionContext, StatementContext
from querywarden.postgresql.startup import StartupMessage
from querywarden.runtime.access_watch import EXPIRED, AccessWatch
from querywarden.runtime.analysers import Analysers
from querywarden.runtime.api_rejections import ApiRejections
from querywarden.runtime.cancel import SessionRegistry
from querywarden.runtime.catalogue_loader import CatalogueLoader
from querywarden.runtime.catalogue_source import PostgresCatalogueSource
from querywarden.runtime.control_parts import ControlParts, ControlPolicy, instance_of
from querywarden.runtime.credentials import CredentialVerifier, issuer_rules, issuer_sources
from querywarden.runtime.dialer import Dialer
from querywarden.runtime.driver import SessionDriver
from querywarden.runtime.health import HealthServer
from querywarden.runtime.journal_writer import JournalWriter
from querywarden.runtime.keyset_refresh import KeySetRefresher
from querywarden.runtime.known_access import BLOCKED
from querywarden.runtime.listener import Door, Listener, open_socket
from querywarden.runtime.logs import configure_logs
from querywarden.runtime.masked_memory import MaskedMemory
from querywarden.runtime.metrics import Metrics
from querywarden.runtime.server_connection import ServerConnection
from querywarden.runtime.services import Services
from querywarden.runtime.shutdown import Signals, drain
from querywarden.runtime.sources import Sources
from querywarden.runtime.timers import repeat
from querywarden.runtime.tls import listener_context, load_listener_certificate
from querywarden.runtime.transport_sides import ClosureWatch, Side
from querywarden.session.budget import BudgetLeft
from querywarden.session.effects import Durability
from querywarden.session.inputs import PolicyChanged as PolicyInForce
from querywarden.storage.control_store import ControlStore
from querywarden.storage.journal import Journal
from querywarden.storage.journal_recovery import open_journal
from querywarden.storage.stamps import RandomPool

POLICY_LOOK_SECONDS = 1.0
ANALYSES_KEPT = 4096
"""Texts whose facts are kept, each at most `limits.analysis_inline_bytes_max` long."""


def serve(config: Config) -> None:
    """Run the proxy until it is told to stop. Raises: ConfigurationError, DependencyFailure when it can't start."""
    configure_logs(config.log)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config))


async def _serve(config: Config) -> None:
    proxy = Proxy(config)
    try:
        await proxy.start()
        await proxy.run()
    finally:
        await proxy.stop()


class Proxy:
    """All parts of one proxy. What is made in `__init__` needs no loop to be undone but the log, which `stop` closes."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.limits = config.limits.limits()
        self.metrics = Metrics()
        self.policy = PolicyWatch(config.policy.file)
        self.accounts = server_accounts(config)
        self.flows = {name: DataFlows() for name in self.accounts}
        self.masking_key = MaskingKey(load_or_create_key(config.masking.key_file, KEY_BYTES, os.urandom))
        self.masked = MaskedMemory(os.urandom(16))
        self.store = ControlStore(config.control.url)
        self.keys = KeySetRefresher(issuer_sources(config.identity))
        tokens = self.store if config.identity.service_tokens.enabled else None
        self.verifier = CredentialVerifier(issuer_rules(config.identity), self.keys, tokens)
        self.access = AccessWatch(tokens, seconds=config.identity.recheck_seconds)
        self.dialer = Dialer(config.databases, self.limits)
        self.analysers = Analysers(config.analysis.workers, self.limits.analysis_seconds_max)
        # Facts follow from a text alone, so equal texts share them; what they mean is decided anew each time.
        self.analyse = lru_cache(maxsize=ANALYSES_KEPT)(_shared_facts)
        self.scram_cache = ScramCache()
        self.catalogues = CatalogueLoader(
            list(config.databases), self.connect_server, PostgresCatalogueSource(self._resource, lambda: self.policy.policy),
            self.metrics, config.catalogue.poll_seconds,
        )  # fmt: skip
        self.journal: Journal = open_journal(config.audit.directory, version=__version__)
        self.writer = JournalWriter(
            self.journal, on_health=self._log_health_changed, on_queue=self.metrics.log_queue, on_sync=self.metrics.log_sync
        )
        self.randomness = RandomPool()
        self.control = self._control()
        self.services = Services(
            self.writer, self.verifier, self.dialer, self.analysers, self.catalogues, self.access, self.control.presence,
            self.control.desk, self.control.budgets, self.metrics, self.limits, ClosureWatch(),
        )  # fmt: skip
        self.registry = SessionRegistry()
        self.door = Door(Sources(self.limits), self.registry, self.metrics, self.services.watch, self.make_driver)
        self.listeners: list[Listener] = []
        self.health = HealthServer(self.metrics, self._readiness())
        self.api = ApiServer(self._api_services(), config.api) if config.api.enabled else None
        self.signals = Signals(self.reload)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start all parts, the listeners last: nobody comes in before everything is there."""
        self.writer.start()
        policy = self.policy.policy
        body = log_records.policy_loaded(policy.version, self.policy.source, len(policy.rules))
        self.writer.append(log_records.POLICY_LOADED, body, Durability.DURABLE)
        await self.keys.start()
        self.signals.install()
        loop = asyncio.get_running_loop()
        await self.control.start()
        self._tasks += (loop.create_task(self.access.run()), loop.create_task(self.control.run()))
        self._tasks.append(loop.create_task(repeat(POLICY_LOOK_SECONDS, self._look_at_policy, "policy watch")))
        log = structlog.get_logger()
        if self.config.admin.enabled:
            host, port = await self.health.start(self.config.admin.host, self.config.admin.port)
            log.info("health.listening", host=host, port=port)
        if self.api is not None:
            await self.api.start()
        self._open_listeners()
        for listener in self.listeners:
            listener.start()
            host, port = listener.address
            log.info("listener.listening", host=host, port=port, tls=listener.tls is not None)
        # What is there now stays: the collector need not walk over it again and again.
        gc.collect()
        gc.freeze()
        log.info("proxy.started", version=__version__, databases=list(self.config.databases), policy=policy.version[:12])

    async def run(self) -> None:
        """Wait until the proxy is told to stop, and let its sessions end."""
        await self.signals.stop.wait()
        await drain(self.door, self.listeners, self.registry, self.limits.drain_seconds_max, self.signals.stop_at_once)

    async def stop(self) -> None:
        """Stop what has been started; the log comes last, since the others still write to it."""
        if self.api is not None:
            await self.api.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *(listener.stop() for listener in self.listeners), return_exceptions=True)
        await self.control.stop()
        await self.health.stop()
        await self.catalogues.stop()
        await self.analysers.close()
        await self.keys.stop()
        await self.writer.close()
        self.store.close()
        structlog.get_logger().info("proxy.stopped")

    def reload(self) -> None:
        """Read the policy and the TLS files again; what is broken stays as it was."""
        log = structlog.get_logger()
        log.info("reload.started")
        self._tell_policy(self.policy.look(is_forced=True))
        try:
            for listener, settings in zip(self.listeners, self.config.listeners, strict=True):
                if listener.tls is not None and settings.tls is not None:
                    load_listener_certificate(listener.tls, settings.tls)
            self.dialer.reload()
            if self.api is not None:
                self.api.reload()
        except ConfigurationError as error:
            log.error("reload.tls_failed", detail=str(error))

    def make_driver(self, startup: StartupMessage, peer: Peer, bound_database: str | None, side: Side, deadline: float) -> SessionDriver:
        """The driver of a new session."""
        session_id = record_id(int(time.time() * 1000), os.urandom(RANDOM_BYTES))
        session = self.make_session(startup, peer, bound_database, session_id)
        return SessionDriver(session, session_id, side, peer.ip, self.services, deadline)

    def make_session(self, startup: StartupMessage, peer: Peer, bound_database: str | None, session_id: str) -> PostgresSession:
        """A new session of a client."""
        login = LoginSettings(self.accounts, self.authorise, os.urandom, bound_database, self.limits, self.scram_cache)
        return PostgresSession(startup, SessionContext(session_id, peer, login, self._statements(session_id)))

    def connect_server(self, database: str) -> ServerConnection:
        """A connection of the proxy's own to a database's server, not open yet."""
        return ServerConnection(
            self.dialer, self.accounts[database], os.urandom, self.scram_cache, "catalogue", self.limits.high_water_bytes
        )

    def authorise(self, principal: Principal, database: str) -> str | None:
        """Why a principal may not use a database; None if it may."""
        granted = self.control.known.granted_databases(principal, time.time())
        denied = may_connect(self.policy.policy, principal, self._resource(database), granted)
        return None if denied is None else denied.sentence

    def _statements(self, session_id: str) -> Callable[[Established], StatementContext]:
        durability = self.config.audit.durability
        approvals = self.config.approvals

        def context(established: Established) -> StatementContext:
            self.control.presence.describe(session_id, established.application_name or "")
            return StatementContext(
                session_id=session_id,
                database=established.database,
                policy=lambda: self.policy.policy,
                analyse=self.analyse,
                commit=self.journal.committer.commit,
                draw=self.randomness.draw,
                masking_key=self.masking_key,
                access_ended=_access_ended,
                limits=self.limits,
                durability=RecordDurability(durability.reads, durability.writes, durability.writes),
                hold_mode=approvals.mode,
                agent_hold_mode=approvals.agent_mode,
                notice_seconds=approvals.notice_seconds,
                flows=self.flows[established.database.name],
                remembered=partial(self.masked.of, established.database.name),
                budget=self._budget(session_id, established),
            )

        return context

    def _budget(self, session_id: str, established: Established) -> Callable[[float], BudgetLeft | None]:
        """What a session's principal has left, by the wall clock: periods are those of all proxies."""
        presence, budgets, name = self.control.presence, self.control.budgets, established.database.name
        return lambda _: budgets.left(presence.principal_of(session_id) or established.principal, name)

    def _control(self) -> ControlParts:
        """The parts around the control store. For a database that isn't there no limit applies, and no login follows."""

        def budgets(principal: Principal, database: str) -> tuple[Budget, ...]:
            account = self.accounts.get(database)
            return () if account is None else budgets_of(self.policy.policy, principal, account.resource)

        def sessions_max(principal: Principal, database: str) -> int | None:
            account = self.accounts.get(database)
            return None if account is None else sessions_max_of(self.policy.policy, principal, account.resource)

        policy = ControlPolicy(self._resource, self.authorise, budgets, sessions_max, lambda: self.policy.policy)
        return ControlParts(self.config, self.store, instance_of(self.journal.origin), self.writer, self.metrics, policy)

    def _api_services(self) -> ApiServices:
        """The use cases behind the API."""
        control, store = self.control, self.store
        administrators, pending_max = self.config.api.administrators, self.config.approvals.pending_max
        resources = {name: account.resource for name, account in self.accounts.items()}

        def policy() -> Policy:
            return self.policy.policy

        ballot = Ballot(store, control.calls, control.approvers, control.news, control.desk.changed, time.time)
        return ApiServices(
            self._verify_caller,
            ApiRejections(self.writer).rejected,
            Approvals(ApprovalParts(store, control.calls, ballot, policy, time.time, administrators)),
            AccessRequests(
                AccessParts(
                    store, control.calls, policy, resources, time.time, os.urandom, control.news.requested, administrators, pending_max
                )
            ),
            SessionControl(store, control.calls, administrators),
        )

    async def _verify_caller(self, credential: bytes, database: str, peer_ip: str) -> Principal:
        """The caller of the API, with the groups that it was given for a time. Raises: IdentityRejected, Problem when it is blocked."""
        principal = await self.verifier.verify(credential, database, peer_ip)
        if self.control.known.is_blocked(principal, time.time()):
            raise Problem(ProblemCode.BLOCKED, BLOCKED)
        # Before it can vote: what counts at a release is the latest that was seen of an approver's groups.
        with suppress(DependencyFailure):
            await self.control.calls.run(self.store.saw, party_of(principal), time.time())
        return self.control.known.principal_now(principal, time.time())

    def _resource(self, database: str) -> Database:
        return self.accounts[database].resource

    def _open_listeners(self) -> None:
        for settings in self.config.listeners:
            tls = None if settings.tls is None else listener_context(settings.tls)
            try:
                sock = open_socket(settings.host, settings.port)
            except OSError as error:
                raise ConfigurationError(
                    f"the listener {settings.host}:{settings.port} can't be opened: {error.strerror}", hint="is another program there?"
                ) from None
            self.listeners.append(Listener(sock, self.door, tls, settings.database))

    async def _look_at_policy(self) -> None:
        self._tell_policy(self.policy.look())

    def _tell_policy(self, outcome: PolicyChanged | PolicyBroken | None) -> None:
        log = structlog.get_logger()
        match outcome:
            case PolicyChanged(previous, policy):
                body = log_records.policy_changed(previous.version, policy.version, self.policy.source, len(policy.rules))
                self.writer.append(log_records.POLICY_CHANGED, body, Durability.DURABLE)
                self.catalogues.policy_changed()
                for driver in self.registry.all():
                    driver.deliver(PolicyInForce())
                self.metrics.observe("policy_reloads", ("changed",), 1)
                log.info("policy.changed", previous=previous.version[:12], policy=policy.version[:12])
            case PolicyBroken(error):
                self.metrics.observe("policy_reloads", ("broken",), 1)
                log.error("policy.broken", detail=str(error), in_force=self.policy.policy.version[:12])
            case None:
                pass
        self.metrics.policy_health(self.policy.is_valid)

    def _log_health_changed(self, is_healthy: bool, cause: str) -> None:
        self.metrics.log_health(is_healthy)
        log = structlog.get_logger()
        if is_healthy:
            log.info("audit.writable")
        else:
            log.error("audit.not_writable", cause=cause)

    def _readiness(self) -> Mapping[str, Callable[[], bool]]:
        return {
            "log_writable": lambda: self.writer.healthy,
            "policy_loaded": lambda: True,
            "listeners_up": lambda: bool(self.listeners) and not self.door.is_closed,
        }


@lru_cache(maxsize=ANALYSES_KEPT)
def _equal_analysis(analysis: Analysis) -> Analysis:
    """The first analysis that was equal to this one: texts that differ in literals share their facts where these are the same."""
    return analysis


def _shared_facts(text: bytes) -> Analysis:
    return _equal_analysis(analyse(text))


def server_accounts(config: Config) -> dict[str, ServerAccount]:
    """The accounts of the proxy at the servers, by the names that clients use. Raises: ConfigurationError."""
    return {
        name: ServerAccount(name, each.server.database, each.server.role, server_password(each.server), each.environment)
        for name, each in config.databases.items()
    }


def _access_ended(principal: Principal, now: float) -> str | None:
    """Whether the credential has expired, by the wall clock; what was revoked is told by the access watch."""
    return EXPIRED if principal.expires_at is not None and time.time() >= principal.expires_at else None
