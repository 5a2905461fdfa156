"""The chain as its definition reads: slow, obvious, sharing no line with the code under test."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any


def canonical(value: Any) -> bytes:
    """RFC 8785 for objects, arrays, strings, integers, booleans and null, spelled out."""
    if value is None:
        return b"null"
    if value is True:
        return b"true"
    if value is False:
        return b"false"
    if isinstance(value, int):
        return str(value).encode()
    if isinstance(value, str):
        return b'"' + b"".join(_character(c) for c in value) + b'"'
    if isinstance(value, (list, tuple)):
        return b"[" + b",".join(canonical(item) for item in value) + b"]"
    keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
    return b"{" + b",".join(canonical(key) + b":" + canonical(value[key]) for key in keys) + b"}"


def _character(c: str) -> bytes:
    short = {'"': b'\\"', "\\": b"\\\\", "\b": b"\\b", "\f": b"\\f", "\n": b"\\n", "\r": b"\\r", "\t": b"\\t"}
    if c in short:
        return short[c]
    if ord(c) < 0x20:
        return b"\\u" + f"{ord(c):04x}".encode()
    return c.encode()


def leaf(line: bytes) -> str:
    """RFC 6962: SHA-256 over a zero byte and the line."""
    digest = hashlib.sha256()
    digest.update(bytes([0]))
    digest.update(line)
    return digest.hexdigest()


def lines(log: str, stamps: Sequence[dict[str, Any]], bodies: Sequence[tuple[str, dict[str, Any]]]) -> list[bytes]:
    """The lines of a log: `stamps` have id, nonce, t, mono and boot; `bodies` have type and fields."""
    found: list[bytes] = []
    for seq, (stamp, (kind, body)) in enumerate(zip(stamps, bodies, strict=True)):
        record = dict(body)
        record["v"] = 1
        record["log"] = log
        record["seq"] = seq
        record["prev"] = leaf(found[-1]) if found else "0" * 64
        record["n"] = base64.urlsafe_b64encode(stamp["nonce"]).decode().strip("=")
        for name in ("id", "t", "mono", "boot"):
            record[name] = stamp[name]
        record["type"] = kind
        found.append(canonical(record))
    return found


def is_intact(log: str, stored: bytes) -> bool:
    """Whether stored bytes are a chain of canonical lines of this log."""
    if stored and not stored.endswith(b"\n"):
        return False
    prev = "0" * 64
    for seq, line in enumerate(stored.split(b"\n")[:-1]):
        try:
            record = json.loads(line)
        except ValueError:
            return False
        if not isinstance(record, dict) or canonical(record) != line:
            return False
        if (record.get("log"), record.get("seq"), record.get("prev")) != (log, seq, prev):
            return False
        prev = leaf(line)
    return True
