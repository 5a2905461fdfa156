"""Start-up parameters: the allow-list, `options`, and what the server is told."""

from __future__ import annotations

import json

import pytest

from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.postgresql.messages.opening import StartupMessage
from querywarden.postgresql.parameters import (
    ClientParameters,
    ParameterRefused,
    parse_options,
    read_parameters,
    server_application_name,
    server_parameters,
)

ANNA = Principal("anna@example.com", "https://idp", PrincipalKind.HUMAN, frozenset({"dev", 'q"uo,te'}))


def read(*parameters: tuple[bytes, bytes], user: bytes = b"anna") -> ClientParameters | ParameterRefused:
    return read_parameters(StartupMessage((3, 0), ((b"user", user), *parameters)))


def accepted(*parameters: tuple[bytes, bytes]) -> ClientParameters:
    found = read(*parameters)
    assert isinstance(found, ClientParameters)
    return found


@pytest.mark.parametrize(
    "parameters",
    [
        [(b"application_name", b"psql"), (b"client_encoding", b"UTF8")],
        [(b"client_encoding", b"'utf-8'")],
        [(b"extra_float_digits", b"2"), (b"DateStyle", b"ISO"), (b"TimeZone", b"Europe/Berlin"), (b"client_encoding", b"UTF8")],
        [(b"datestyle", b"ISO, MDY"), (b"client_encoding", b"UTF8"), (b"extra_float_digits", b"2")],
        [(b"client_encoding", b"SQL_ASCII")],
        [(b"options", b"-c search_path=app,public -c statement_timeout=5s"), (b"client_encoding", b"unicode")],
        [(b"standard_conforming_strings", b"on"), (b"replication", b"false")],
    ],
    ids=["psql", "asyncpg", "pgjdbc", "lib-pq", "psql in the C locale", "libpq options", "others"],
)
def test_what_real_drivers_send_is_accepted(parameters: list[tuple[bytes, bytes]]) -> None:
    assert accepted(*parameters).user == "anna"


@pytest.mark.parametrize(
    "name",
    [
        b"role", b"session_authorization", b"client_min_messages", b"row_security", b"session_replication_role", b"querywarden.subject",
        b"QUERYWARDEN.groups", b"log_statement", b"debug_print_rewritten", b"local_preload_libraries", b"backslash_quote", b"unknown",
        b"enable_seqscan; drop", b"enable_", b"search_path ", b"is_superuser", b"allow_system_table_mods", b"Role",
    ],
)  # fmt: skip
def test_a_parameter_that_is_not_known_to_be_harmless_is_refused_by_name(name: bytes) -> None:
    for found in (read((name, b"x")), read((b"options", b"-c " + name.replace(b" ", b"\\ ") + b"=x"))):
        assert isinstance(found, ParameterRefused)
        assert found.sqlstate == "42501"
        assert name.decode().lower() in found.message


@pytest.mark.parametrize(
    "parameters",
    [
        [(b"options", b"-c querywarden.hold=FAIL -c querywarden.reason=ticket\\ 7\\\n"), (b"search_path", b"app")],
        [(b"Querywarden.Hold", b"fail"), (b"querywarden.reason", b" ticket \t 7 "), (b"search_path", b"app")],
        [
            (b"options", b"--querywarden.hold=wait"), (b"querywarden.hold", b"fail"), (b"search_path", b"app"),
            (b"querywarden.reason", b"ticket 7"),
        ],
    ],
)  # fmt: skip
def test_what_is_said_to_the_proxy_is_not_told_the_server(parameters: list[tuple[bytes, bytes]]) -> None:
    found = accepted(*parameters)

    assert ("fail", "ticket 7", (("search_path", "app"),)) == (found.hold_mode, found.reason, found.settings)
    assert not any(b"hold" in name or b"reason" in name for name, _ in server_parameters("r", "d", ANNA, found))


def test_a_client_that_says_nothing_to_the_proxy_leaves_it_the_choice() -> None:
    assert (None, None) == (accepted().hold_mode, accepted().reason)
    assert accepted((b"querywarden.reason", b" ")).reason is None
    assert 500 == len(accepted((b"querywarden.reason", b"x" * 900)).reason or "")


@pytest.mark.parametrize("value", [b"", b"never", b"wait,fail", b"1"])
def test_a_way_to_be_held_that_there_is_not_is_refused(value: bytes) -> None:
    found = read((b"querywarden.hold", value))

    assert isinstance(found, ParameterRefused)
    assert found.sqlstate == "22023"


@pytest.mark.parametrize(
    "parameter",
    [
        (b"client_encoding", b"LATIN1"),
        (b"client_encoding", b"EUC_JIS_2004"),
        (b"standard_conforming_strings", b"off"),
        (b"client_encoding", b""),
    ],
)
def test_what_the_analysis_rests_on_cannot_be_changed(parameter: tuple[bytes, bytes]) -> None:
    found = read(parameter)
    assert isinstance(found, ParameterRefused)
    assert found.sqlstate == "22023"


def test_a_client_without_a_user_is_refused_as_by_postgresql() -> None:
    for found in (read(user=b""), read_parameters(StartupMessage((3, 0), ()))):
        assert found == ParameterRefused("28000", "no PostgreSQL user name specified in startup packet")


def test_text_that_is_not_utf8_is_refused() -> None:
    for found in (read(user=b"\xff"), read((b"search_path", b"\xc0\xaf")), read((b"\xff", b"x"))):
        assert isinstance(found, ParameterRefused)
        assert found.sqlstate == "22021"


def test_a_refusal_shows_no_control_characters_and_not_the_value() -> None:
    found = read((b"evil\x1b[2J", b"canary"))
    assert isinstance(found, ParameterRefused)
    assert "\x1b" not in found.message
    assert "canary" not in repr(found)


def test_settings_are_lower_case_and_the_message_overrides_its_options() -> None:
    found = accepted((b"options", b"-c timezone=UTC -c work_mem=4MB"), (b"TimeZone", b"Europe/Berlin"), (b"application_name", b"x"))
    assert found.settings == (("timezone", "Europe/Berlin"), ("work_mem", "4MB"))
    assert found.application_name == "x"


def test_protocol_options_are_set_aside_and_an_empty_database_is_none() -> None:
    found = accepted((b"database", b""), (b"_pq_.command_tag", b"\xff"), (b"_pq_.test", b""))
    assert found.protocol_options == (b"_pq_.command_tag", b"_pq_.test")
    assert found.database is None
    assert found.settings == ()


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", []),
        ("  \t\n ", []),
        ("-c a=b", [("a", "b")]),
        ("-ca=b", [("a", "b")]),
        ("--a-b=c", [("a_b", "c")]),
        ("-c a-b=c-d", [("a_b", "c-d")]),
        ("  -c  a=b\t--c=d ", [("a", "b"), ("c", "d")]),
        (r"-c search_path=a,\ b", [("search_path", "a, b")]),
        (r"-c a=b\\c", [("a", r"b\c")]),
        ("-c a=", [("a", "")]),
        ("-c a=b=c", [("a", "b=c")]),
        ("-c a=b\\", [("a", "b")]),
    ],
)
def test_options_are_read_as_the_server_reads_them(text: str, settings: list[tuple[str, str]]) -> None:
    assert parse_options(text) == settings


@pytest.mark.parametrize("text", ["-c", "-c a", "-c =b", "--", "--a", "-F", "-d 3", "a=b", "-c a=b rest", "- c a=b", "-W 10"])
def test_other_switches_are_refused(text: str) -> None:
    found = parse_options(text)
    assert isinstance(found, ParameterRefused)
    assert found.sqlstate == "42601"


def test_options_cannot_smuggle_a_refused_setting_past_the_list() -> None:
    for options in (b"-c role=postgres", b"--role=postgres", b"-crole=postgres", rb"-c r\ole=postgres", b"--session-authorization=x"):
        assert isinstance(read((b"options", options)), ParameterRefused)


@pytest.mark.parametrize(
    ("principal", "application", "expected"),
    [
        (ANNA, "psql", "anna@example.com (psql)"),
        (ANNA, "", "anna@example.com"),
        (ANNA, "x" * 44, f"anna@example.com ({'x' * 44})"),
        (ANNA, "x" * 45, "anna@example.com"),
        (ANNA, "\x1b[2Jä", "anna@example.com (?[2J?)"),
        (Principal("a" * 80, "i", PrincipalKind.HUMAN), "psql", "a" * 63),
        (Principal("änna", "i", PrincipalKind.AGENT, actors=(Actor("bot", "i"),)), "", "bot for ?nna"),
    ],
)
def test_the_application_name_says_who_in_63_clean_bytes(principal: Principal, application: str, expected: str) -> None:
    assert server_application_name(principal, application) == expected
    assert len(expected) <= 63


def test_the_server_is_told_who_speaks_and_keeps_what_the_analysis_rests_on() -> None:
    client = accepted((b"TimeZone", b"UTC"), (b"application_name", b"psql"), (b"client_encoding", b"SQL_ASCII"))
    parameters = server_parameters("shop_app", "shop_prod", ANNA, client)
    told = dict(parameters)
    assert len(told) == len(parameters)
    assert told == {
        b"user": b"shop_app",
        b"database": b"shop_prod",
        b"timezone": b"UTC",
        b"client_encoding": b"UTF8",
        b"standard_conforming_strings": b"on",
        b"application_name": b"anna@example.com (psql)",
        b"querywarden.subject": b"anna@example.com",
        b"querywarden.groups": json.dumps(["dev", 'q"uo,te'], separators=(",", ":")).encode(),
    }
