"""The tree question: how a server is asked what it understands of a query, and where its answer stands.

A server prints the tree of a query that it has analysed and rewritten as a notice when it parses it, with these settings on; nothing is
planned or run. They are set for one transaction, which is the question's own or a savepoint of the client's: nothing is left on. Its log is
kept out of it, which takes a right: `GRANT SET ON PARAMETER log_min_messages TO role` (15 and later), or those of a superuser; or a role
whose log is silent anyway, by `ALTER ROLE role SET log_min_messages = fatal`.
Spec: PostgreSQL 18, "Error Reporting and Logging" (debug_print_rewritten), "Extended Query".
"""

from __future__ import annotations

from collections.abc import Sequence

from querywarden.postgresql.error_response import decode_fields

TREE_BYTES_MAX = 512 * 1024
"""A tree longer than this is not read: reading takes a millisecond for each 20 kilobytes or so."""
TEXT_BYTES_MAX = 64 * 1024
"""A text longer than this is not asked about: what is so long is mostly values, and its tree is some fifty times as long."""

_LOG = "log_min_messages"
_SETTINGS = (
    ("client_min_messages", "log"),
    ("debug_pretty_print", "off"),
    ("debug_print_parse", "off"),
    ("debug_print_plan", "off"),
    ("debug_print_rewritten", "on"),
)
_SAVED = "querywarden.saved"
"""Where the settings' values are kept meanwhile, for as long as the transaction lasts."""

_PRINTING = ", ".join(f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in _SETTINGS)
_NAMES = (_LOG, *(name for name, _ in _SETTINGS))
_VALUES = ", ".join(f"pg_catalog.current_setting('{name}')" for name in _NAMES)
_KEPT = f"pg_catalog.concat_ws('|', {_VALUES})"


def _silent(may_silence: str) -> str:
    return f"CASE WHEN {may_silence} THEN pg_catalog.set_config('{_LOG}', 'fatal', true) END"


def _saved(place: int) -> str:
    return f"pg_catalog.split_part(pg_catalog.current_setting('{_SAVED}'), '|', {place})"


def _taken_back(may_silence: str) -> str:
    settings = [f"pg_catalog.set_config('{name}', {_saved(place)}, true)" for place, (name, _) in enumerate(_SETTINGS, 2)]
    # The log's comes last: until then nothing is printed into it.
    return ", ".join((*reversed(settings), f"CASE WHEN {may_silence} THEN pg_catalog.set_config('{_LOG}', {_saved(1)}, true) END"))


_READ_ONLY = "pg_catalog.set_config('transaction_read_only', 'on', true)"

_MAY_SILENCE = "pg_catalog.has_parameter_privilege('log_min_messages', 'SET')"
_MAY_SILENCE_BEFORE_15 = "pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on'"
_PARAMETER_PRIVILEGES_SINCE = 15
_IS_SILENT = f"pg_catalog.current_setting('{_LOG}') OPERATOR(pg_catalog.=) ANY ('{{fatal,panic}}'::pg_catalog.text[])"


def settings_on(server_major: int) -> bytes:
    """The statement that makes the transaction read-only and lets the server print trees.

    Its one cell is NULL, and nothing is set, where the role may not silence the log, and its log isn't silent already.
    """
    return _where_silent(server_major, f"{_READ_ONLY}, {_silent(_may_silence(server_major))}, {_PRINTING}")


def settings_on_in_segment(server_major: int) -> bytes:
    """The same in the client's own implicit transaction, whose mode stays as it is; `settings_back` takes it back."""
    saved = f"pg_catalog.set_config('{_SAVED}', {_KEPT}, true)"
    return _where_silent(server_major, f"{saved}, {_silent(_may_silence(server_major))}, {_PRINTING}")


def settings_back(server_major: int) -> bytes:
    """The statement that takes `settings_on_in_segment` back, where that has set something."""
    back = _taken_back(_may_silence(server_major))
    is_set = f"pg_catalog.current_setting('{_SAVED}', true) OPERATOR(pg_catalog.<>) ''"
    return f"SELECT CASE WHEN {is_set} THEN pg_catalog.concat({back}) END".encode()


def _may_silence(server_major: int) -> str:
    return _MAY_SILENCE if server_major >= _PARAMETER_PRIVILEGES_SINCE else _MAY_SILENCE_BEFORE_15


def _where_silent(server_major: int, settings: str) -> bytes:
    return f"SELECT CASE WHEN {_may_silence(server_major)} OR {_IS_SILENT} THEN pg_catalog.concat({settings}) END".encode()


_SEVERITY, _MESSAGE, _DETAIL, _CONTEXT, _ROUTINE = b"V", b"M", b"D", b"W", b"R"
_TITLE = b"rewritten parse tree:"
_PRINTING_ROUTINE = b"elog_node_display"


def tree_of(notices: Sequence[bytes]) -> str | None:
    """The tree among the notices of a Parse, by their bodies; None unless there is exactly one.

    Something that runs while a query is analysed (a check of a domain, say) may raise any text, also one that looks like a tree, and keep
    the server from printing the real one. But the routine that a notice comes from is not its to choose, and of a statement that it runs
    itself the tree has a context.
    """
    found = [fields for fields in map(_fields, notices) if _is_tree(fields)]
    if len(found) != 1 or len(found[0].get(_DETAIL, b"")) > TREE_BYTES_MAX:
        return None
    try:
        return found[0][_DETAIL].decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return None


def _is_tree(fields: dict[bytes, bytes]) -> bool:
    is_printed = fields.get(_SEVERITY) == b"LOG" and fields.get(_MESSAGE) == _TITLE
    return is_printed and fields.get(_ROUTINE) == _PRINTING_ROUTINE and _CONTEXT not in fields


def _fields(body: bytes) -> dict[bytes, bytes]:
    return dict(decode_fields(body))
