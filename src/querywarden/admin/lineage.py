"""Lineage: what a configured database's server understands of a statement, and what the proxy would do with the statement for a principal.

The server analyses the statement in a transaction that is read-only and rolled back. Nothing is planned or run, and no row is read. The
connection is one of the proxy's own, so that temporary tables and settings of somebody's session don't count.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from querywarden.admin.catalogue import read_catalogue
from querywarden.admin.lineage_question import NameSpace as NameSpace
from querywarden.admin.lineage_question import Question, Understanding
from querywarden.admin.lineage_report import PLAN, Output, StatementReport, report
from querywarden.config.loading import server_password
from querywarden.config.models import Config
from querywarden.config.watch import PolicyWatch
from querywarden.errors import DependencyFailure
from querywarden.model.catalogue import Catalogue
from querywarden.model.facts import StatementFacts, Unanalysable, Verb
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy.evaluate import Request, may_connect, unanalysable
from querywarden.policy.language import Policy
from querywarden.postgresql.login_settings import ServerAccount
from querywarden.postgresql.scram import ScramCache
from querywarden.runtime.dialer import Dialer
from querywarden.runtime.server_connection import ServerConnection

SECONDS_MAX = 30.0
"""For all questions together, the reading of the catalogue aside: each takes milliseconds."""
_PLAN_OUTPUT = Output(PLAN, 25, -1, "text")


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom the lineage is asked, and for which time, in seconds since the epoch: rules may hold at some times only."""

    principal: Principal
    now: float


@dataclass(frozen=True, slots=True)
class LineageReport:
    """The lineage of a text's statements for one principal on one database."""

    database: str
    principal: str
    role: str
    generation: str
    statements: tuple[StatementReport, ...]


async def lineage(config: Config, database: str | None, text: bytes, asker: Asker, names: NameSpace) -> LineageReport:
    """The lineage of each statement of a text. Secrets: `text`; nothing of its literals is in the answer.

    Raises: ConfigurationError for a database that isn't configured, or a search path or role that can't be; DependencyFailure when the
    server can't be asked.
    """
    # Imported here, so that other commands don't load the SQL grammar.
    from querywarden.postgresql.analysis import analyse

    name, catalogue = await read_catalogue(config, database)
    settings = config.databases[name]
    account = ServerAccount(name, settings.server.database, settings.server.role, server_password(settings.server), settings.environment)
    policy = PolicyWatch(config.policy.file).policy
    found = analyse(text)
    if isinstance(found, Unanalysable):
        refusal = unanalysable(found)
        access = may_connect(policy, asker.principal, account.resource)
        statements: Sequence[StatementReport] = (StatementReport(Verb.UNKNOWN.value, refusal, access),)
    else:
        statements = await _reports(config, account, policy, catalogue, text, found, asker, names)
    return LineageReport(name, asker.principal.label, names.role or account.role, catalogue.generation, tuple(statements))


async def _reports(
    config: Config,
    account: ServerAccount,
    policy: Policy,
    catalogue: Catalogue,
    text: bytes,
    found: Sequence[StatementFacts],
    asker: Asker,
    names: NameSpace,
) -> list[StatementReport]:
    limits = config.limits.limits()
    dialer = Dialer({account.name: config.databases[account.name]}, limits)
    connection = ServerConnection(dialer, account, os.urandom, ScramCache(), "lineage", limits.high_water_bytes, has_clients_names=True)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            await connection.open()
            question = await Question.prepare(connection, catalogue, names)
            reports = []
            for facts in found:
                understood = await question.ask(text[facts.start : facts.end], facts)
                reports.append(_report(policy, account.resource, catalogue, facts, understood, asker))
            return reports
    except TimeoutError:
        raise DependencyFailure("the server took too long to answer") from None
    finally:
        connection.close()


def _report(
    policy: Policy, database: Database, catalogue: Catalogue, facts: StatementFacts, understood: Understanding, asker: Asker
) -> StatementReport:
    flowing = facts if understood.flow is None else replace(facts, flow=understood.flow)
    request = Request(asker.principal, database, flowing, catalogue, now=asker.now)
    outputs = (_PLAN_OUTPUT,) if facts.verb is Verb.EXPLAIN else understood.outputs
    return report(policy, request, outputs, understood.gap, understood.rejection)
