"""The bodies of records: what each type of event says, as plain objects ready for the canonical encoding.

A body holds what the log doesn't add itself (`v`, `log`, `seq`, `prev`, `n`, `id`, `t`, `mono`, `boot`, `type`). Fields that have no
value are left out. Secrets: none may come here. Statement text is the normalised one; texts that a client merely claims are
bounded, and withheld where they look like a credential, since people paste tokens into the wrong field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from querywarden.audit.encoding import shared
from querywarden.audit.log_format import COMPLETED, DECIDED
from querywarden.model.facts import StatementFacts
from querywarden.model.principal import Principal
from querywarden.model.resource import Database

__all__ = [
    "COMPLETED", "DECIDED", "Body", "Effect", "Outcome", "Stage", "claimed", "client", "completed", "db", "decided",
    "fingerprint_of", "of_session", "of_statement", "who",
]  # fmt: skip

Body = dict[str, Any]
Stage = Literal["simple", "parse", "execute"]
Effect = Literal["allow", "deny", "hold"]
Outcome = Literal["ok", "error", "refused", "cancelled", "skipped", "unknown"]

NAMES_MAX = 64
"""Names of one kind in a record; the count of the rest is told. Keeps a line below its limit without losing the usual statement."""
NAME_CHARACTERS_MAX = 160
CLAIM_CHARACTERS_MAX = 64
"""PostgreSQL cuts names and `application_name` at 63 bytes: nothing honest is longer."""
STATEMENT_CHARACTERS_MAX = 8192
GROUPS_MAX = 128
_CREDENTIAL_MARKS = ("eyJ", "qw_", "://")
"""How a JWT and a service token begin, and what a connection string holds."""


def who(principal: Principal) -> Body:
    """The principal of a record: subject, issuer, kind, groups, credential id and delegation chain (current actor first)."""
    groups = sorted(principal.groups)
    found: Body = {
        "sub": principal.subject,
        "iss": principal.issuer,
        "kind": principal.kind.value,
        "auth": {"method": principal.method} | ({} if principal.expires_at is None else {"exp": principal.expires_at}),
    }
    if groups:
        found["groups"] = groups[:GROUPS_MAX]
    if len(groups) > GROUPS_MAX:
        found["groups_more"] = len(groups) - GROUPS_MAX
    if principal.credential_id is not None:
        found["jti"] = principal.credential_id
    if principal.actors:
        found["act"] = [{"sub": actor.subject, "iss": actor.issuer} for actor in principal.actors]
    return found


def client(ip: str, port: int, tls: str | None, application: str | None = None) -> Body:
    """The client's end of a session: address, TLS version (left out without TLS) and the application name that it claims."""
    found: Body = {"ip": ip, "port": port}
    if tls is not None:
        found["tls"] = tls
    if application:
        found["app"] = claimed(application)
    return found


def db(database: Database) -> Body:
    """The configured database of a record."""
    return {"name": database.name, "env": database.environment.value, "engine": database.dialect}


def claimed(text: str) -> str:
    """A text that a client merely claims, bounded; withheld where it could be a credential in the wrong place."""
    if len(text) > CLAIM_CHARACTERS_MAX or any(mark in text for mark in _CREDENTIAL_MARKS):
        return f"<withheld, {len(text)} characters>"
    return text


def of_session(principal: Principal, database: Database, session_id: str, peer: Mapping[str, Any] | None = None) -> Body:
    """The fields that all `decided` records of a session share: who, where, and the client's end as `client()` gives it."""
    fields: Body = {"who": shared(who(principal)), "db": shared(db(database)), "session": session_id}
    return fields if peer is None else fields | {"client": shared(peer)}


def of_statement(facts: StatementFacts | None, statement_bytes: int = 0, properties: Sequence[str] = ()) -> Body:
    """The fields that all `decided` records of a statement share: its normalised text, what it names, and the properties that rules name.

    Args: `facts` is None when the statement could not be analysed; its text is then told by its length alone.
    """
    if facts is None:
        return {"stmt": {"norm": f"<unanalysable, {statement_bytes} bytes>"}, "verb": "unknown"}
    text = facts.normalised
    statement: Body = {"norm": text[:STATEMENT_CHARACTERS_MAX], "fp": fingerprint_of(text)}
    if len(text) > STATEMENT_CHARACTERS_MAX:
        statement["truncated"] = True
    body: Body = {"stmt": statement, "verb": facts.verb.value}
    _add_names(body, "reads", map(str, facts.reads))
    _add_names(body, "writes", map(str, facts.writes))
    _add_names(body, "functions", map(str, facts.functions))
    _add_names(body, "hazards", (hazard.value for hazard in facts.hazards))
    _add_names(body, "settings", (setting.name for setting in facts.settings))
    _add_names(body, "columns", facts.column_names)
    if facts.has_star:
        body["star"] = True
    if facts.values_rows is not None:
        body["values"] = facts.values_rows
    inner = _verbs_within(facts)
    if inner - {facts.verb.value}:
        body["verbs"] = sorted(inner | {facts.verb.value})
    if facts.object_kind is not None:
        body["kind"] = facts.object_kind
    # Always there, so that a decision can be made again from the record: an empty list says that there were none.
    body["props"] = list(properties)
    return body


def decided(
    session: Mapping[str, Any],
    statement: Mapping[str, Any],
    *,
    stage: Stage,
    effect: Effect,
    rule: str,
    policy_version: str,
    statement_bytes: int,
    reason: str | None = None,
    commitment: str | None = None,
    parameters: int = 0,
    parameters_commitment: str | None = None,
    prepared_id: str | None = None,
    estimated_rows: int | None = None,
    automatic: str | None = None,
    observed: Sequence[tuple[str, str]] = (),
) -> Body:
    """The body of `db.query.decided`: who wants to run what, and what policy says to it.

    Args:
        session: as `of_session()` gives it; `statement` as `of_statement()` does.
        stage: `simple` and `execute` run a statement and are followed by a `completed`; `parse` only prepares one.
        reason: the reason code of a denial or hold.
        commitment: the salted commitment to the exact text; `parameters_commitment` to the parameters' bytes.
        prepared_id: for `execute`, the record that decided the Parse.
        estimated_rows: the planner's estimate, where the decision took one.
        automatic: the rule that approved a statement which `rule` holds.
        observed: rules in observe mode that would have had an effect, and which.
    """
    text = {**statement["stmt"], "len": statement_bytes}
    if commitment is not None:
        text["com"] = commitment
    body: Body = {
        **session,
        **statement,
        "stage": stage,
        "effect": effect,
        "rule": rule,
        "policy": _policy(policy_version),
        "stmt": text,
    }
    if reason is not None:
        body["reason"] = reason
    if parameters or parameters_commitment is not None:
        body["params"] = {"n": parameters} if parameters_commitment is None else {"n": parameters, "com": parameters_commitment}
    if prepared_id is not None:
        body["prepared"] = prepared_id
    if estimated_rows is not None:
        body["rows_est"] = estimated_rows
    if automatic is not None:
        body["approval"] = {"automatic": automatic}
    if observed:
        body["observed"] = [{"rule": name, "effect": each} for name, each in observed[:NAMES_MAX]]
    return body


def completed(
    decided_id: str,
    *,
    outcome: Outcome,
    session_id: str | None = None,
    sqlstate: str | None = None,
    tag: str | None = None,
    rows: int = 0,
    bytes_out: int = 0,
    masked_cells: int = 0,
    masked: Sequence[tuple[str, str]] = (),
    duration_us: int = 0,
    reason: str | None = None,
) -> Body:
    """The body of `db.query.completed`: how a statement that was decided has ended.

    Args:
        decided_id: the id of its `decided`.
        outcome: `skipped` for one that the server passed over after an error before it, `refused` for one that we ended,
            `unknown` when the server went away before it answered.
        reason: for a held statement that didn't run, why.
        tag: the server's command tag.
        masked: the masked outputs, each with its column and its class.
    """
    body: Body = {
        "decided": decided_id,
        "outcome": outcome,
        "rows": rows,
        "bytes_out": bytes_out,
        "duration_us": duration_us,
    }
    if session_id is not None:
        body["session"] = session_id
    if sqlstate is not None:
        body["sqlstate"] = sqlstate
    if tag is not None:
        body["tag"] = tag[:CLAIM_CHARACTERS_MAX]
    if reason is not None:
        body["reason"] = reason
    if masked:
        body["masked"] = [{"column": column[:NAME_CHARACTERS_MAX], "class": name} for column, name in masked[:NAMES_MAX]]
        body["masked_cells"] = masked_cells
        if len(masked) > NAMES_MAX:
            body["masked_more"] = len(masked) - NAMES_MAX
    elif masked_cells:
        body["masked_cells"] = masked_cells
    return body


def fingerprint_of(normalised: str) -> str:
    """The fingerprint of a normalised text: equal for statements that differ in their literals only. Never a cache key."""
    return hashlib.sha256(normalised.encode("utf-8", "backslashreplace")).hexdigest()[:16]


@lru_cache(maxsize=8)
def _policy(version: str) -> Mapping[str, Any]:
    return shared({"version": version})


def _verbs_within(facts: StatementFacts) -> set[str]:
    """The verbs of a statement's children, at any depth."""
    found: set[str] = set()
    pending = list(facts.children)
    while pending:
        child = pending.pop()
        found.add(child.verb.value)
        pending.extend(child.children)
    return found


def _add_names(body: Body, field: str, names: Iterable[str]) -> None:
    found = sorted(names)
    if found:
        body[field] = [name[:NAME_CHARACTERS_MAX] for name in found[:NAMES_MAX]]
    if len(found) > NAMES_MAX:
        body[f"{field}_more"] = len(found) - NAMES_MAX
