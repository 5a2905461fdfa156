"""Messages: strict decoding, in the near neighbourhood of valid ones too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querywarden.errors import PeerViolation
from querywarden.postgresql.error_response import decode_fields, encode_error
from querywarden.postgresql.messages import authentication as auth
from querywarden.postgresql.messages import backend, frontend, opening

names = st.binary(max_size=6).map(lambda name: name.replace(b"\0", b""))
formats = st.sampled_from([(), (0,), (1,)])
oids = st.lists(st.integers(0, 0xFFFFFFFF), max_size=4).map(tuple)
parameters = st.lists(st.none() | st.binary(max_size=5), max_size=4).map(tuple)
keys = st.binary(min_size=4, max_size=40)

ROUND_TRIPS: list[tuple[st.SearchStrategy[Any], Callable[[Any], bytes], Callable[[bytes], Any]]] = [
    (st.builds(frontend.Query, names), frontend.encode_query, frontend.decode_query),
    (st.builds(frontend.Parse, names, names, oids), frontend.encode_parse, frontend.decode_parse),
    (st.builds(frontend.Bind, names, names, formats, parameters, formats), frontend.encode_bind, frontend.decode_bind),
    (st.builds(frontend.Describe, st.sampled_from([b"S", b"P"]), names), frontend.encode_describe, frontend.decode_describe),
    (st.builds(frontend.Close, st.sampled_from([b"S", b"P"]), names), frontend.encode_close, frontend.decode_close),
    (st.builds(frontend.Execute, names, st.integers(0, 2**31 - 1)), frontend.encode_execute, frontend.decode_execute),
    (st.builds(frontend.CopyFail, names), frontend.encode_copy_fail, frontend.decode_copy_fail),
    (
        st.sampled_from([b"I", b"T", b"E"]).map(backend.ReadyForQuery),
        lambda m: backend.encode_ready_for_query(m.status),
        backend.decode_ready_for_query,
    ),
    (names.map(backend.CommandComplete), lambda m: backend.encode_command_complete(m.tag), backend.decode_command_complete),
    (st.builds(backend.ParameterStatus, names, names), backend.encode_parameter_status, backend.decode_parameter_status),
    (st.builds(backend.BackendKeyData, st.integers(0, 2**32 - 1), keys), backend.encode_backend_key_data, backend.decode_backend_key_data),
    (
        st.builds(backend.NegotiateProtocolVersion, st.integers(0, 2**32 - 1), st.lists(names, max_size=3).map(tuple)),
        backend.encode_negotiate_protocol_version,
        backend.decode_negotiate_protocol_version,
    ),
    (oids.map(backend.ParameterDescription), backend.encode_parameter_description, backend.decode_parameter_description),
    (
        st.builds(backend.NotificationResponse, st.integers(0, 2**32 - 1), names, names),
        backend.encode_notification_response,
        backend.decode_notification_response,
    ),
]  # fmt: skip


def name_of(case: object) -> str:
    return getattr(case, "__name__", "")


@pytest.mark.parametrize(("messages", "encode", "decode"), ROUND_TRIPS, ids=name_of)
@given(data=st.data())
def test_what_is_encoded_is_decoded(messages: st.SearchStrategy[Any], encode: Any, decode: Any, data: st.DataObject) -> None:
    message = data.draw(messages)
    whole = encode(message)
    assert int.from_bytes(whole[1:5], "big") == len(whole) - 1
    assert decode(whole[5:]) == message
    assert decode(memoryview(whole)[5:]) == message


DECODERS = [decode for _, _, decode in ROUND_TRIPS] + [
    backend.decode_copy_in_response, backend.decode_copy_out_response, backend.decode_copy_both_response,
    auth.decode_authentication, auth.decode_password_message, opening.decode_startup_message, opening.decode_cancel_request, decode_fields,
]  # fmt: skip

SEEDS = [
    b"", b"\0", frontend.encode_parse(frontend.Parse(b"s", b"select $1", (23, 25)))[5:],
    frontend.encode_bind(frontend.Bind(b"p", b"s", (0, 1), (b"a", None), (1,)))[5:],
    frontend.encode_execute(frontend.Execute(b"p", 10))[5:], b"Sname\0", b"I", b"SELECT 5\0",
    backend.encode_backend_key_data(backend.BackendKeyData(1, b"1234"))[5:],
    backend.encode_negotiate_protocol_version(backend.NegotiateProtocolVersion(0x30000, (b"_pq_.a", b"_pq_.b")))[5:],
    b"\0\0\x02\0\0\0\1", b"\0\0\0\x0aSCRAM-SHA-256\0\0", b"\0\0\0\5salt", b"\0\0\0\0",
    opening.encode_startup_message(opening.StartupMessage((3, 2), ((b"user", b"a"), (b"database", b"b"))))[4:],
    opening.encode_cancel_request(opening.CancelRequest(1, b"1234"))[4:], encode_error("ERROR", "42501", "m")[5:],
]  # fmt: skip


@given(seed=st.sampled_from(SEEDS), decode=st.sampled_from(DECODERS), data=st.data())
def test_a_near_miss_is_decoded_or_a_violation_and_nothing_else(seed: bytes, decode: Any, data: st.DataObject) -> None:
    changed = bytearray(seed)
    match data.draw(st.sampled_from(["replace", "insert", "delete", "truncate"])):
        case "replace" if changed:
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.sampled_from([0, 1, 2, 127, 128, 255]))
        case "insert":
            changed[(at := data.draw(st.integers(0, len(changed)))) : at] = data.draw(st.binary(min_size=1, max_size=4))
        case "delete" if changed:
            del changed[data.draw(st.integers(0, len(changed) - 1))]
        case _:
            del changed[data.draw(st.integers(0, len(changed))) :]
    try:
        decoded = decode(bytes(changed))
    except PeerViolation as violation:
        decoded = violation
    assert decoded is not None


@pytest.mark.parametrize(("messages", "encode", "decode"), ROUND_TRIPS, ids=name_of)
@given(data=st.data())
def test_a_byte_too_many_is_always_found(messages: st.SearchStrategy[Any], encode: Any, decode: Any, data: st.DataObject) -> None:
    message = data.draw(messages)
    if isinstance(message, backend.BackendKeyData):
        return  # its key runs to the end
    with pytest.raises(PeerViolation):
        decode(encode(message)[5:] + data.draw(st.sampled_from([b"\0", b"x"])))


@pytest.mark.parametrize(("messages", "encode", "decode"), ROUND_TRIPS, ids=name_of)
@given(data=st.data())
def test_a_byte_too_few_is_always_found(messages: st.SearchStrategy[Any], encode: Any, decode: Any, data: st.DataObject) -> None:
    message = data.draw(messages)
    if isinstance(message, backend.BackendKeyData) and len(message.key) > 4:
        return
    with pytest.raises(PeerViolation):
        decode(encode(message)[5:-1])


@pytest.mark.parametrize(
    ("decode", "body"),
    [
        (frontend.decode_query, b"select 1"),
        (frontend.decode_query, b"select\0 1\0"),
        (frontend.decode_parse, b"\0select\0\xff\xff\0\0\0\1"),
        (frontend.decode_bind, b"\0\0\0\0\xff\xff\0\0"),
        (frontend.decode_bind, b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"),
        (frontend.decode_bind, b"\0\0\0\1\0\2\0\0\0\0"),
        (frontend.decode_bind, b"\0\0\0\2\0\0\0\1\0\1\xff\xff\xff\xff\0\0"),
        (frontend.decode_bind, b"\0\0\0\0\0\1\x7f\xff\xff\xffabc\0\0"),
        (frontend.decode_describe, b"Xname\0"),
        (frontend.decode_close, b"\0name\0"),
        (backend.decode_ready_for_query, b"A"),
        (backend.decode_backend_key_data, b"\0\0\0\1"),
        (backend.decode_backend_key_data, b"\0\0\0\1abc"),
        (backend.decode_backend_key_data, b"\0\0\0\1" + b"k" * 257),
        (backend.decode_negotiate_protocol_version, b"\0\3\0\0\xff\xff\xff\xff"),
        (backend.decode_copy_in_response, b"\2\0\0"),
        (backend.decode_copy_in_response, b"\0\0\1\0\2"),
        (backend.decode_copy_in_response, b"\0\xff\xff\0\0"),
        (auth.decode_authentication, b"\0\0\0\1"),
        (auth.decode_authentication, b"\0\0\0\0x"),
        (auth.decode_authentication, b"\0\0\0\5sal"),
        (auth.decode_authentication, b"\0\0\0\x0aSCRAM-SHA-256\0"),
        (auth.decode_password_message, b""),
        (auth.decode_password_message, b"a\0b\0"),
        (auth.decode_password_message, b"ab"),
        (opening.decode_cancel_request, b"\x04\xd2\x16\x2e\0\0\0\1abc"),
        (opening.decode_cancel_request, b"\x04\xd2\x16\x2e\0\0\0\1" + b"k" * 257),
        (opening.decode_startup_message, b"\0\3\0\0user\0a\0"),
        (opening.decode_startup_message, b"\0\3\0\0user\0a\0\0x"),
        (opening.decode_startup_message, b"\0\3\0\0user\0a\0user\0b\0\0"),
        (opening.decode_startup_message, b"\0\3\0\0user\0"),
    ],
)
def test_a_malformed_message_is_a_violation(decode: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(PeerViolation):
        decode(body)


def test_a_negative_row_limit_means_none_as_in_the_server() -> None:
    assert frontend.decode_execute(b"p\0\xff\xff\xff\xff") == frontend.Execute(b"p", 0)


def test_copy_responses_are_decoded() -> None:
    assert backend.decode_copy_in_response(b"\1\0\2\0\1\0\1") == backend.CopyInResponse(1, (1, 1))
    assert backend.decode_copy_out_response(b"\0\0\0") == backend.CopyOutResponse(0, ())
    assert backend.decode_copy_both_response(b"\0\0\0") == backend.CopyBothResponse(0, ())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\0\0\0\0", auth.AuthenticationOk()),
        (b"\0\0\0\3", auth.AuthenticationCleartextPassword()),
        (b"\0\0\0\5salt", auth.AuthenticationMD5Password(b"salt")),
        (b"\0\0\0\x0aA\0B\0\0", auth.AuthenticationSASL((b"A", b"B"))),
        (b"\0\0\0\x0br=x", auth.AuthenticationSASLContinue(b"r=x")),
        (b"\0\0\0\x0cv=x", auth.AuthenticationSASLFinal(b"v=x")),
        (b"\0\0\0\7", auth.AuthenticationUnsupported(7)),
        (b"\0\0\0\x08token", auth.AuthenticationUnsupported(8)),
    ],
)
def test_authentication_requests_are_told_apart(body: bytes, message: auth.Authentication) -> None:
    assert auth.decode_authentication(body) == message


@pytest.mark.parametrize("pair", [(b"", b"x"), (b"a\0b", b"x"), (b"a", b"x\0user\0postgres")])
def test_a_startup_message_cannot_be_split_into_other_parameters(pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="can't be sent"):
        opening.encode_startup_message(opening.StartupMessage((3, 0), ((b"user", b"a"), pair)))


def test_secrets_do_not_show_in_reprs() -> None:
    messages = [
        frontend.Bind(b"p", b"s", (), (b"canary",)),
        backend.BackendKeyData(1, b"canary"),
        opening.CancelRequest(1, b"canary"),
        opening.StartupMessage((3, 0), ((b"user", b"canary"),)),
    ]
    assert "canary" not in repr(messages)
