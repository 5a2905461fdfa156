"""Asynchronous messages: notices, notifications and parameter changes may come at any moment.

Spec: PostgreSQL 18, "Asynchronous Operations".
"""

from __future__ import annotations

import re

from querywarden.errors import PeerViolation
from querywarden.postgresql.error_response import decode_fields, encode_fields
from querywarden.postgresql.error_text import runs_own_code, withheld
from querywarden.postgresql.framing import encode
from querywarden.postgresql.messages.backend import (
    NotificationResponse,
    ParameterStatus,
    decode_notification_response,
    decode_parameter_status,
    encode_notification_response,
)
from querywarden.postgresql.name_resolution import REPORTED
from querywarden.postgresql.session_state import SessionState

_NOTICE, _NOTIFICATION = ord("N"), ord("A")

PINNED = {b"standard_conforming_strings": (b"on",), b"client_encoding": (b"UTF8",)}
"""Settings that the analysis rests on. Their change is refused as a statement; here it shows up whatever way it was made."""

FREE_TEXT = frozenset({b"application_name", b"search_path", b"TimeZone"})
"""Settings that are reported and may hold any text, so that code of the database may put what it reads into them."""
_ZONE = re.compile(
    rb"(?:UTC|GMT|Etc/(?:UTC|GMT(?:[+-]?[0-9]{1,2})?)|[A-Z][A-Za-z]+(?:/[A-Z][A-Za-z_-]+){1,2}|<[+-][0-9]{2,4}>[+-][0-9:]{1,8})"
)
"""Names of zones as servers have them, and offsets. What may be any text has an offset behind a name, and no name here has."""


def shown(state: SessionState, kind: int, body: bytes) -> bytes:
    """What the client is shown of a notice, a notification or a parameter change.

    Raises: PeerViolation when a setting that the analysis rests on has changed.
    """
    if kind == _NOTICE:
        return _notice(state, body)
    if kind == _NOTIFICATION:
        return _notification(state, body)
    status = decode_parameter_status(body)
    if status.name in REPORTED:
        state.names.moved()
    if status.name in FREE_TEXT and not _may_tell(state, status):
        return b""
    if status.name in PINNED and status.value not in PINNED[status.name]:
        name = status.name.decode("ascii", "replace")
        raise PeerViolation(f"the setting {name} has changed to a value under which statements can't be analysed")
    return encode(b"S", body)


def _may_tell(state: SessionState, status: ParameterStatus) -> bool:
    """Whether the client may be told a setting's value: one that it has set itself, has been told before, or that says nothing."""
    if state.catalogue is None or not state.catalogue.has_classified or not status.value:
        return True
    if status.name == b"TimeZone" and _ZONE.fullmatch(status.value):
        return True
    told = (status.name, status.value)
    if status.name.decode().lower() in state.own_settings and not state.has_run_code:
        state.told_settings.add(told)
    return told in state.told_settings


def _notice(state: SessionState, body: bytes) -> bytes:
    fields = decode_fields(body)
    head = state.expected.head
    execution = None if head is None else head.execution
    touches = state.transaction_touches if execution is None else execution.touches
    catalogue = state.catalogue
    if touches or (catalogue is not None and catalogue.has_classified and runs_own_code(fields)):
        fields = withheld(fields)
    return encode_fields(fields, b"N")


def _notification(state: SessionState, body: bytes) -> bytes:
    """A payload may be a row that a trigger has put together: it goes where the database has such code and classified columns."""
    catalogue = state.catalogue
    if catalogue is None or not (catalogue.has_classified and catalogue.notifying_functions):
        return encode(b"A", body)
    message = decode_notification_response(body)
    return encode_notification_response(NotificationResponse(message.process_id, message.channel, b""))
