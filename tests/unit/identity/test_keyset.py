"""Key sets: only keys that may verify signatures come out of one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querywarden.demo.issuer_keys import SigningKey
from querywarden.identity.keyset import KEYS_MAX, KEYSET_BYTES_MAX, KeySetError, parse_keyset

EC = SigningKey.generate("ec", "ES256").jwk()
RSA = SigningKey.generate("rsa", "RS256").jwk()
ED = SigningKey.generate("ed", "EdDSA").jwk()
GOOD = SigningKey.generate("good", "ES256")


def document(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def test_each_key_type_is_read_with_its_algorithms() -> None:
    bare = [{name: value for name, value in jwk.items() if name not in ("alg", "use")} for jwk in (EC, RSA, ED)]
    found = {key.kid: key.algorithms for key in parse_keyset(document(*bare)).keys}
    assert found == {
        "ec": {"ES256"},
        "rsa": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
        "ed": {"EdDSA"},
    }


def test_declared_algorithm_narrows() -> None:
    assert [key.algorithms for key in parse_keyset(document(RSA | {"alg": "PS256"})).keys] == [{"PS256"}]


def test_candidates_are_those_of_the_key_id() -> None:
    keyset = parse_keyset(document(EC, RSA, ED | {"kid": "ec"}))
    assert [len(keyset.candidates(kid)) for kid in ("ec", "rsa", "no", None)] == [2, 1, 0, 3]
    assert (keyset.has("ec"), keyset.has("no")) == (True, False)


@pytest.mark.parametrize(
    "spoiled",
    [
        EC | {"use": "enc"},
        EC | {"key_ops": ["sign"]},
        EC | {"key_ops": "verify"},
        EC | {"kty": "oct", "k": "AAAA"},
        EC | {"kty": "XX"},
        EC | {"kty": None},
        EC | {"crv": "P-521"},
        EC | {"crv": "secp256k1"},
        EC | {"x": EC["y"], "y": EC["x"]},
        EC | {"x": "!!"},
        EC | {"x": "A"},
        EC | {"x": None},
        EC | {"x": "A" * 4000},
        EC | {"d": "AAAA"},
        EC | {"alg": "RS256"},
        EC | {"alg": ["ES256"]},
        EC | {"kid": 7},
        RSA | {"n": RSA["n"][:100]},
        RSA | {"n": "_" * 1400},
        RSA | {"e": "AA"},
        RSA | {"e": "Ag"},
        ED | {"x": ED["x"][:-4]},
        "text",
        None,
        [],
        {},
    ],
)
def test_unusable_key_is_left_out_and_spoils_nothing(spoiled: Any) -> None:
    assert [key.kid for key in parse_keyset(document(spoiled, GOOD.jwk())).keys] == ["good"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [], "keys": []}',
        b"\xff",
        b"{" * 50,
        document(EC | {"use": "enc"}),
    ],
)
def test_what_is_no_key_set_is_an_error(text: bytes) -> None:
    with pytest.raises(KeySetError):
        parse_keyset(text)


def test_number_and_size_are_bounded() -> None:
    with pytest.raises(KeySetError, match="too many"):
        parse_keyset(document(*[EC] * (KEYS_MAX + 1)))
    with pytest.raises(KeySetError, match="too large"):
        parse_keyset(document(EC) + b" " * KEYSET_BYTES_MAX)


MEMBERS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "kid", "key_ops"])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([EC, RSA, ED]), st.dictionaries(MEMBERS, st.text() | st.none() | st.integers(), max_size=2))
def test_near_miss_is_a_key_or_left_out(jwk: dict[str, Any], changes: dict[str, Any]) -> None:
    kids = [key.kid for key in parse_keyset(document({**jwk, **changes}, GOOD.jwk())).keys]
    assert kids[-1:] == ["good"]
    assert len(kids) <= 2
