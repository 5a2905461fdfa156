"""Start-up parameters: which of them a client may set, and what the server is told in their place.

An allow-list: a parameter can change what a statement means (`search_path`, `role`) or what the proxy's analysis rests on
(`standard_conforming_strings`), so one that isn't known to be harmless is refused by name.
Spec: PostgreSQL 18, "Message Formats" (StartupMessage); "Client Connection Defaults".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from querywarden.model.principal import Principal
from querywarden.postgresql.analysis.settings import HOLD_MODES, HOLD_SETTING, REASON_SETTING, clean_reason
from querywarden.postgresql.messages.opening import StartupMessage

PROTOCOL_OPTION_PREFIX = b"_pq_."
APPLICATION_NAME_BYTES_MAX = 63
"""PostgreSQL cuts `application_name` there (NAMEDATALEN - 1)."""

_ALLOWED = frozenset(
    {
        "application_name", "datestyle", "intervalstyle", "timezone", "extra_float_digits", "search_path", "geqo", "statement_timeout",
        "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout",
        "default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable", "bytea_output", "work_mem",
        "plan_cache_mode", "jit",
    }
)  # fmt: skip
_ALLOWED_PATTERN = re.compile(r"enable_[a-z_]{1,50}\Z")
_TRUE = frozenset({"on", "true", "yes", "1", "t", "y"})
_UTF8_NAMES = frozenset({"utf8", "unicode", "sqlascii"})
"""SQL_ASCII is what psql says under the C locale; such a client gets UTF8, is told so, and copes."""
_NOT_SETTINGS = frozenset({b"user", b"database", b"options", b"replication"})

_OPTION_BLANKS = " \t\n\r\f\v"
_HINT = "Remove it from the connection string, from PGOPTIONS or from the driver's configuration."


@dataclass(frozen=True, slots=True)
class ClientParameters:
    """What a client's start-up parameters come to. `settings` are the allowed ones, lower case, each once, in order.

    `database` is None when the client named none. `user` is a claim and no more. `protocol_options` are the `_pq_.` names.
    `hold_mode` (`wait` or `fail`) and `reason` are said to the proxy itself; the server doesn't get them.
    """

    user: str
    database: str | None
    application_name: str
    settings: tuple[tuple[str, str], ...]
    protocol_options: tuple[bytes, ...]
    hold_mode: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ParameterRefused:
    """A parameter stands in the way of the login; the texts are public."""

    sqlstate: str
    message: str
    hint: str | None = None


def read_parameters(startup: StartupMessage) -> ClientParameters | ParameterRefused:
    """What the parameters of a StartupMessage come to, or the first that is refused."""
    try:
        given = {name: value.decode() for name, value in startup.parameters if not name.startswith(PROTOCOL_OPTION_PREFIX)}
        named = [(name.decode(), value) for name, value in given.items() if name not in _NOT_SETTINGS]
    except UnicodeDecodeError:
        return ParameterRefused("22021", "a start-up parameter is not valid UTF-8")
    if not given.get(b"user"):
        return ParameterRefused("28000", "no PostgreSQL user name specified in startup packet")
    options = parse_options(given.get(b"options", ""))
    if isinstance(options, ParameterRefused):
        return options
    settings: dict[str, str] = {}
    # The order is the server's: a parameter of the message overrides one in `options`.
    for name, value in [*options, *named]:
        folded = name.lower()
        refused = _refusal(folded, value)
        if refused is not None:
            return refused
        if folded not in ("client_encoding", "standard_conforming_strings"):
            settings[folded] = value
    application_name = settings.pop("application_name", "")
    hold_mode, reason = settings.pop(HOLD_SETTING, None), settings.pop(REASON_SETTING, "")
    protocol_options = tuple(name for name, _ in startup.parameters if name.startswith(PROTOCOL_OPTION_PREFIX))
    return ClientParameters(
        given[b"user"],
        given.get(b"database") or None,
        application_name,
        tuple(settings.items()),
        protocol_options,
        None if hold_mode is None else hold_mode.lower(),
        clean_reason(reason) or None,
    )


def _refusal(name: str, value: str) -> ParameterRefused | None:
    if name == "client_encoding":
        if "".join(character for character in value.lower() if character.isalnum()) in _UTF8_NAMES:
            return None
        return ParameterRefused("22023", "Querywarden speaks UTF8 only", "Set client_encoding (or PGCLIENTENCODING) to UTF8.")
    if name == "standard_conforming_strings":
        if value.lower() in _TRUE:
            return None
        return ParameterRefused("22023", "standard_conforming_strings has to stay on", _HINT)
    if name == HOLD_SETTING:
        if value.lower() in HOLD_MODES:
            return None
        return ParameterRefused("22023", f"{HOLD_SETTING} has to be wait or fail", "wait: held statements wait; fail: they get an error.")
    if name == REASON_SETTING or name in _ALLOWED or _ALLOWED_PATTERN.match(name):
        return None
    return ParameterRefused("42501", f'start-up parameter "{clean_ascii(name)[:63]}" is not allowed by Querywarden', _HINT)


def parse_options(text: str) -> list[tuple[str, str]] | ParameterRefused:
    """Parse the `options` parameter: `-c name=value`, `-cname=value` and `--name=value`, blanks escaped by a backslash.

    A dash in a name counts as an underscore, as in the server. Any other switch is refused.
    """
    settings: list[tuple[str, str]] = []
    words = iter(_split_options(text))
    for word in words:
        if word == "-c":
            assignment = next(words, "")
        elif word.startswith(("-c", "--")):
            assignment = word[2:]
        else:
            assignment = ""
        name, equals, value = assignment.partition("=")
        if not name or not equals:
            message = 'only -c name=value and --name=value are allowed in the start-up parameter "options"'
            return ParameterRefused("42601", message, _HINT)
        settings.append((name.replace("-", "_"), value))
    return settings


def _split_options(text: str) -> list[str]:
    """Split as the server does (pg_split_opts): on blanks; a backslash takes the next character as it is."""
    words: list[str] = []
    word: list[str] | None = None
    characters = iter(text)
    for character in characters:
        if character in _OPTION_BLANKS:
            if word is not None:
                words.append("".join(word))
            word = None
            continue
        word = [] if word is None else word
        word.append(next(characters, "") if character == "\\" else character)
    if word is not None:
        words.append("".join(word))
    return words


def clean_ascii(text: str) -> str:
    """The text with everything but printable ASCII replaced by `?`, which is what the server would make of it."""
    return "".join(character if " " <= character <= "~" else "?" for character in text)


def server_application_name(principal: Principal, application_name: str) -> str:
    """The `application_name` at the server: who speaks, and in parentheses, where it fits, through what."""
    label = clean_ascii(principal.label)[:APPLICATION_NAME_BYTES_MAX]
    both = f"{label} ({clean_ascii(application_name)})"
    return both if application_name and len(both) <= APPLICATION_NAME_BYTES_MAX else label


def server_parameters(role: str, database: str, principal: Principal, client: ClientParameters) -> tuple[tuple[bytes, bytes], ...]:
    """The parameters of the proxy's own StartupMessage to the server, for this principal and client.

    Parameters given at start-up are a session's defaults: RESET and DISCARD ALL come back to them, so the principal stays
    visible, and they override what ALTER ROLE or ALTER DATABASE may have set.

    Raises: UnicodeEncodeError if the principal's subject is not text that UTF-8 can carry.
    """
    named = [
        ("user", role),
        ("database", database),
        *client.settings,
        ("client_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
        ("application_name", server_application_name(principal, client.application_name)),
        ("querywarden.subject", principal.subject),
        ("querywarden.groups", json.dumps(sorted(principal.groups), separators=(",", ":"))),
    ]
    return tuple((name.encode(), value.encode()) for name, value in named)
