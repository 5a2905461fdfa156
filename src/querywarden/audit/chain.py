"""The chain: each line carries the hash of the one before it, its own number and a nonce.

The hash of a line is its leaf hash in an RFC 6962 tree, over the stored bytes without the LF.
"""

from __future__ import annotations

import hashlib
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from querywarden.audit.encoding import encode_fitting
from querywarden.audit.log_format import FIRST_PREV, FORMAT_VERSION, LEAF_PREFIX

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def leaf(line: bytes) -> str:
    """The leaf hash of a line (without its LF), as 64 hexadecimal digits.

    Spec: RFC 6962, "Merkle Hash Trees": SHA-256(0x00 ‖ data).
    """
    return hashlib.sha256(LEAF_PREFIX + line).hexdigest()


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the number of the next record, and the leaf hash that it has to carry."""

    seq: int
    prev: str


EMPTY = Head(0, FIRST_PREV)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the world gives to a record: id, random nonce, wall clock and boot clock.

    `mono` is in microseconds of the boot clock: nanoseconds would pass 2^53-1, the largest integer of the format, on a
    machine that has been up for 104 days.
    """

    id: str
    nonce: bytes
    t: str
    mono: int
    boot: str


def extend(head: Head, log: str, stamp: Stamp, kind: str, body: Mapping[str, Any]) -> tuple[bytes, Head]:
    """The line of the next record (without LF) and the chain's new end.

    The log's own fields win over fields of the same name in the body.

    Raises:
        Unencodable: the body has no canonical line; the chain is as before.
    """
    line = encode_fitting(
        {
            **body,
            "v": FORMAT_VERSION,
            "log": log,
            "seq": head.seq,
            "prev": head.prev,
            "n": b2a_base64(stamp.nonce, newline=False).translate(_URL_SAFE, b"=").decode(),
            "id": stamp.id,
            "t": stamp.t,
            "mono": stamp.mono,
            "boot": stamp.boot,
            "type": kind,
        }
    )
    return line, Head(head.seq + 1, leaf(line))
