"""Refusals: what the client is told, and the message that the server rejects in place of the refused one.

The server raises the error, so order, the skip until Sync and the transaction byte are right by construction; its text names the
audit id, so that the server's own log explains itself. The substitutes run nothing: a text that doesn't parse, a name that can't exist.
"""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.errors import REASONS, ReasonCode
from querywarden.model.decision import Deny
from querywarden.model.facts import Unanalysable
from querywarden.postgresql.error_response import encode_error
from querywarden.postgresql.messages.frontend import Bind, Parse, Query, encode_bind, encode_parse, encode_query

_PARSE, _QUERY, _FUNCTION_CALL = ord("P"), ord("Q"), ord("F")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused message: codes and texts for the client. They hold no row data; `sentence` may quote a token of the client's own text."""

    reason: ReasonCode
    audit_id: str
    sqlstate: str
    sentence: str
    rule: str | None = None
    hint: str | None = None
    position: int | None = None

    def error(self) -> bytes:
        """The ErrorResponse for the client."""
        rule = f"Rule {self.rule}. " if self.rule else ""
        return encode_error("ERROR", self.sqlstate, self.sentence, f"{rule}Audit id {self.audit_id}.", self.hint, self.position)


def refusal_of(decision: Deny, audit_id: str) -> Refusal:
    """The refusal that a decision asks for."""
    sqlstate = REASONS[decision.reason].sqlstate
    return Refusal(decision.reason, audit_id, sqlstate, decision.sentence, decision.rule, decision.hint)


def refusal_of_text(failure: Unanalysable, audit_id: str) -> Refusal:
    """The refusal of a text that can't be analysed; a plain syntax error reads as the server's own would."""
    if failure.reason == "syntax":
        return Refusal(
            ReasonCode.UNANALYSABLE,
            audit_id,
            "42601",
            failure.detail,
            rule="baseline.unanalysable",
            hint="Querywarden reads statements by the grammar of PostgreSQL 18; correct the statement and send it again.",
            position=failure.position,
        )
    return Refusal(
        ReasonCode.UNANALYSABLE,
        audit_id,
        failure.sqlstate,
        f"Querywarden could not analyse this statement: {failure.detail}",
        rule="baseline.unanalysable",
        hint="What can't be analysed is refused. Send it in smaller parts, as UTF-8, or in plainer SQL.",
    )


def refusal_for(reason: ReasonCode, audit_id: str, sentence: str, hint: str | None = None, sqlstate: str | None = None) -> Refusal:
    """A refusal that no policy rule asked for: a limit, an unsupported message, an unavailable part."""
    return Refusal(reason, audit_id, sqlstate or REASONS[reason].sqlstate, sentence, rule=None, hint=hint)


def substitute(message_type: int, name: bytes, audit_id: str) -> bytes:
    """The message that the server rejects in place of a refused one of this type.

    A refused Query or FunctionCall becomes a Query that doesn't parse, a refused Parse a Parse of the same name that doesn't
    parse (so that the unnamed statement is dropped as it would have been), anything else a Bind to a statement that can't exist.
    """
    text = f"querywarden refused this statement, audit id {audit_id}".encode()
    if message_type in (_QUERY, _FUNCTION_CALL):
        return encode_query(Query(text))
    if message_type == _PARSE:
        return encode_parse(Parse(name, text))
    return encode_bind(Bind(f"querywarden {audit_id}".encode(), text))
