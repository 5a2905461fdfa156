"""The bodies of records that the log writes about itself, and those about the policy in force."""

from __future__ import annotations

from querywarden.audit.log_format import CLOSE, GENESIS, ROTATE
from querywarden.audit.record import Body

__all__ = [
    "CLOSE", "GAP", "GENESIS", "HEARTBEAT", "OPEN", "POLICY_CHANGED", "POLICY_LOADED", "RECOVERED", "ROTATE",
    "closed", "gap", "genesis", "heartbeat", "opened", "policy_changed", "policy_loaded", "recovered", "rotated",
]  # fmt: skip

OPEN = "log.open"
RECOVERED = "log.recovered"
HEARTBEAT = "log.heartbeat"
GAP = "log.gap"
POLICY_LOADED = "policy.loaded"
POLICY_CHANGED = "policy.changed"


def genesis(identity_sha256: str) -> Body:
    """The body of the first record of a log: the digest of `log.json`, so that the log's identity is part of the chain."""
    return {"identity_sha256": identity_sha256}


def opened(version: str, pid: int, host: str, commitment_key: str) -> Body:
    """The body of `log.open`: a writer has begun; `commitment_key` names the key of its commitments without showing it."""
    return {"version": version, "pid": pid, "host": host, "commitment_key": commitment_key}


def closed(reason: str) -> Body:
    """The body of `log.close`: a writer has ended in good order. A log that ends without it was killed."""
    return {"reason": reason}


def rotated(prev_first: int, prev_last: int, size: int, sha256: str) -> Body:
    """The body of `log.rotate`, the first record of a segment: the digest of the whole segment before it."""
    return {"prev_first": prev_first, "prev_last": prev_last, "bytes": size, "sha256": sha256}


def recovered(dropped_bytes: int, sha256: str, last_good_seq: int, quarantined: str) -> Body:
    """The body of `log.recovered`: a torn end was moved aside, and what it was."""
    return {"dropped_bytes": dropped_bytes, "sha256": sha256, "last_good_seq": last_good_seq, "quarantined": quarantined}


def heartbeat() -> Body:
    """The body of `log.heartbeat`: nothing happened, and the writer lives."""
    return {}


def gap(refused: int, cause: str) -> Body:
    """The body of `log.gap`: the log could not be written for a while; so many records were refused, and what waited on them."""
    return {"refused": refused, "cause": cause}


def policy_loaded(version: str, source: str, rules: int) -> Body:
    """The body of `policy.loaded`: the policy in force when the proxy started."""
    return {"policy": {"version": version, "source": source, "rules": rules}}


def policy_changed(previous: str, version: str, source: str, rules: int) -> Body:
    """The body of `policy.changed`: another policy came into force."""
    return {"previous": previous, "policy": {"version": version, "source": source, "rules": rules}}
