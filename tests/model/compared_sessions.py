"""Compared sessions: the same messages sent direct and through the proxy, and whether the answers are the same.

What may differ by design is taken out before: places in the server's source, texts that the proxy withholds, what it says of names that
mean nothing any more.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from tests.model.wire_client import SYNC, WireClient, query, told

from querywarden.postgresql.result import decode_row_description

Batch = Sequence[bytes]
Answers = list[list[tuple[str, bytes]]]

_OWN_WORDS = b"Audit id"
_WITHHELD = b"withheld"
_NAMES_NOTHING = (b"26000", b"34000", b"0A000")
"""What the proxy says of names that mean nothing any more, before the server is asked ..."""
_SAYS_LESS = (b"25P02", b"26000", b"34000", b"55000")
"""... and what the server says, which doesn't look at a name in an aborted transaction, and has closed what an error ended."""
_ABORTED, _DENIED = b"25P02", b"42501"
"""In an aborted transaction the server isn't asked about a statement, so that one may be denied that would have been let through."""
_STUMBLED = b"CXX000\0"
_FREE_TEXT = (b"search_path\0", b"TimeZone\0", b"application_name\0")
"""Settings that aren't told where code of the database may have set them."""
_COMPARED = frozenset(b"SVCMDHWPqstcdn")
"""Fields of errors and notices: those left out are places in the server's source."""
_MAY_QUOTE = frozenset(b"DHWqp")
"""Fields that are left out of errors where the statement touches something classified."""


def play(client: WireClient, batches: Sequence[Batch], seed: int) -> Answers:
    """The answers to each batch. An empty Query ends a batch: it has an answer in every state of a transaction.

    A server may stumble over a Query in the middle of a pipeline, and says so (XX000): what comes after that isn't compared.
    """
    pieces = random.Random(seed)
    answers = []
    for batch in batches:
        data = b"".join([*batch, SYNC, query("")])
        while data:
            size = pieces.choice((len(data), len(data), pieces.randint(1, len(data))))
            client.send(data[:size])
            data = data[size:]
        found = client.read_until(lambda kind, body: kind == "I" or _STUMBLED in body)
        if found[-1][0] != "I":
            return [*answers, found]
        answers.append([*found, *client.ready()])
    client.run("ROLLBACK")
    return answers


def compare(seed: int, batches: Sequence[Batch], expected: Answers, actual: Answers) -> None:
    """Fail where the answers aren't the same."""
    has_stumbled = bool(expected) and any(_STUMBLED in body for _, body in expected[-1])
    assert len(expected) == len(actual) or has_stumbled, f"seed {seed}: {len(expected)} answers direct, {len(actual)} through"
    for number, (batch, direct, through) in enumerate(zip(batches, expected, actual, strict=False)):
        if has_stumbled and direct is expected[-1]:
            return
        left, right = _shown(direct), _shown(through)
        if len(left) == len(right):
            left = [_as_told_by_us(a, b) for a, b in zip(left, right, strict=True)]
        first = next((pair for pair in zip(left, right, strict=False) if pair[0] != pair[1]), None)
        assert left == right, (
            f"seed {seed}, batch {number}: {[bytes(m) for m in batch]}\n differs: {first}\n"
            f" direct:  {told(direct)}\n through: {told(through)}"
        )


def _shown(messages: list[tuple[str, bytes]]) -> list[tuple[str, object]]:
    return [_normal(*message) for message in messages if not (message[0] == "S" and message[1].startswith(_FREE_TEXT))]


def _normal(kind: str, body: bytes) -> tuple[str, object]:
    if kind in "EN":
        fields = {part[0]: part[1:] for part in body.split(b"\0") if part}
        if _OWN_WORDS in fields.get(ord("D"), b"") or _WITHHELD in fields.get(ord("M"), b""):
            return kind, {code: fields[code] for code in b"SVC"}
        return kind, {code: value for code, value in fields.items() if code in _COMPARED}
    if kind == "A":
        return kind, body[4:]
    if kind == "T":
        # A temporary table has another OID in each session.
        return kind, tuple(replace(field, relation_id=min(field.relation_id, 1)) for field in decode_row_description(body))
    return kind, body


def _as_told_by_us(message: tuple[str, object], own: tuple[str, object]) -> tuple[str, object]:
    """The server's error as a refusal of ours tells it: with its codes alone, and whatever else would have been wrong."""
    fields, own_fields = message[1], own[1]
    if not isinstance(fields, dict) or not isinstance(own_fields, dict):
        return message
    if set(own_fields) != set(b"SVC"):
        return message[0], {code: value for code, value in fields.items() if code in own_fields or code not in _MAY_QUOTE}
    if fields[ord("C")] in _SAYS_LESS and own_fields[ord("C")] in _NAMES_NOTHING:
        return own
    if fields[ord("C")] == _ABORTED and own_fields[ord("C")] == _DENIED:
        return own
    return message[0], {code: fields[code] for code in b"SVC"}
