"""SCRAM-SHA-256: the RFC's vector, a slow server of its own, and servers that cheat."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from querywarden.errors import PeerViolation
from querywarden.model.secret import Secret
from querywarden.postgresql.scram import ITERATIONS_MAX, ScramCache, ScramClient, certificate_hash, parse_server_first, saslprep

RFC_NONCE = b"rOprNGfwEbeRWgbNEkqO"
RFC_SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
RFC_CLIENT_FINAL = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
RFC_SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


class SlowServer:
    """RFC 5802's server, written down as it is read there."""

    def __init__(self, password: bytes, salt: bytes = b"salt", iterations: int = 2, binding: bytes = b"") -> None:
        salted = previous = hmac.new(password, salt + b"\0\0\0\1", "sha256").digest()
        for _ in range(iterations - 1):
            previous = hmac.new(password, previous, "sha256").digest()
            salted = bytes(a ^ b for a, b in zip(salted, previous, strict=True))
        self.stored_key = hashlib.sha256(hmac.new(salted, b"Client Key", "sha256").digest()).digest()
        self.server_key = hmac.new(salted, b"Server Key", "sha256").digest()
        self.salt, self.iterations, self.binding = salt, iterations, binding

    def first(self, client_first: bytes) -> bytes:
        self.gs2, bare = client_first[: client_first.index(b"n=")], client_first[client_first.index(b"n=") :]
        self.nonce = bare[bare.index(b"r=") + 2 :] + b"SERVER"
        first = b"r=%b,s=%b,i=%d" % (self.nonce, b64encode(self.salt), self.iterations)
        self.auth = bare + b"," + first
        return first

    def final(self, client_final: bytes) -> bytes | None:
        without_proof, _, proof = client_final.rpartition(b",p=")
        self.auth += b"," + without_proof
        signature = hmac.new(self.stored_key, self.auth, "sha256").digest()
        client_key = bytes(a ^ b for a, b in zip(b64decode(proof), signature, strict=True))
        expected = b"c=" + b64encode(self.gs2 + self.binding) + b",r=" + self.nonce
        if hashlib.sha256(client_key).digest() != self.stored_key or without_proof != expected:
            return None
        return b"v=" + b64encode(hmac.new(self.server_key, self.auth, "sha256").digest())


def client(password: bytes, binding: bytes | None = None) -> ScramClient:
    return ScramClient(Secret(password), b"NONCE", binding, ScramCache())


def test_the_vector_of_rfc_7677() -> None:
    scram = ScramClient(Secret(b"pencil"), RFC_NONCE, None, ScramCache())
    assert scram.first() == b"n,,n=,r=" + RFC_NONCE
    scram._first_bare = b"n=user,r=" + RFC_NONCE  # the vector names its user; PostgreSQL's clients don't
    assert scram.respond(RFC_SERVER_FIRST) == RFC_CLIENT_FINAL
    assert not scram.is_proven
    scram.finish(RFC_SERVER_FINAL)
    assert scram.is_proven


@given(
    password=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8),
    binding=st.none() | st.binary(min_size=32, max_size=32),
)
def test_a_server_that_knows_the_password_and_the_client_agree(password: str, binding: bytes | None) -> None:
    scram, server = client(password.encode(), binding), SlowServer(password.encode(), binding=binding or b"")
    final = server.final(scram.respond(server.first(scram.first())))
    assert final is not None
    scram.finish(final)
    assert scram.is_proven


def test_another_password_or_another_certificate_is_not_accepted() -> None:
    for password, binding in ((b"right", b"c" * 32), (b"wrong", b"d" * 32)):
        scram, server = client(b"right", binding), SlowServer(password, binding=b"d" * 32)
        assert server.final(scram.respond(server.first(scram.first()))) is None


def test_without_binding_the_client_says_that_it_does_not_support_it() -> None:
    """`y` would say "you don't offer it", at which a server that does has to abort."""
    assert client(b"x").first().startswith(b"n,,")
    assert client(b"x", b"hash").first().startswith(b"p=tls-server-end-point,,")


@pytest.mark.parametrize(
    "message",
    [
        b"", b"r=NONCEx", b"r=NONCEx,s=c2FsdA==", b"r=NONCEx,s=c2FsdA==,i=", b"r=NONCEx,s=c2FsdA==,i=0", b"r=NONCEx,s=c2FsdA==,i=-1",
        b"r=NONCEx,s=c2FsdA==,i=4096,x=1", b"m=ext,r=NONCEx,s=c2FsdA==,i=1", b"s=c2FsdA==,r=NONCEx,i=1", b"r=NONCEx,s=,i=1",
        b"r=NONCEx,s=!!!,i=1", b"r=NONCEx,s=c2FsdA,i=1", b"r=NONCE x,s=c2FsdA==,i=1", b"r=NONCEx,s=c2FsdA==,i=1 ", b"e=other-error",
        b"r=NONCEx,s=c2FsdA==,i=%d" % (ITERATIONS_MAX + 1), b"r=NONCEx,s=c2FsdA==,i=" + b"9" * 5000, b"r=NONCE,s=c2FsdA==,i=1",
        b"r=OTHERx,s=c2FsdA==,i=1", b"r=,s=c2FsdA==,i=1", b"r=NONCEx,s=" + b64encode(b"s" * 1025) + b",i=1", b"r=\xff,s=c2FsdA==,i=1",
        b"r=NONCE" + b"x" * 9000 + b",s=c2FsdA==,i=1", "r=NONCEx,s=c2FsdA==,i=١".encode(),
    ],
)  # fmt: skip
def test_a_challenge_that_no_honest_server_sends_is_a_violation(message: bytes) -> None:
    with pytest.raises(PeerViolation):
        client(b"x").respond(message)


@pytest.mark.parametrize("message", [b"", b"v=", b"v=AAAA", b"e=invalid-proof", b"v=" + b64encode(bytes(32)), b"v=!!", b"v=\xff"])
def test_a_server_that_cannot_prove_itself_is_not_believed(message: bytes) -> None:
    scram = client(b"x")
    scram.respond(b"r=NONCEx,s=c2FsdA==,i=1")
    with pytest.raises(PeerViolation):
        scram.finish(message)
    assert not scram.is_proven


def test_messages_out_of_turn_are_violations() -> None:
    with pytest.raises(PeerViolation):
        client(b"x").finish(RFC_SERVER_FINAL)
    scram = client(b"x")
    scram.respond(b"r=NONCEx,s=c2FsdA==,i=1")
    with pytest.raises(PeerViolation, match="second challenge"):
        scram.respond(b"r=NONCEx,s=c2FsdA==,i=1")


@given(message=st.binary(max_size=40))
def test_parsing_a_challenge_raises_nothing_but_a_violation(message: bytes) -> None:
    for data in (message, RFC_SERVER_FIRST[:30] + message, RFC_SERVER_FIRST.replace(b"4096", message)):
        with suppress(PeerViolation):
            parse_server_first(data)


def test_the_cache_computes_once_and_stays_bounded() -> None:
    cache = ScramCache(entries_max=2)
    first = cache.salted_password(Secret(b"a"), b"s", 1)
    assert cache.salted_password(Secret(b"a"), b"s", 1) is first
    assert cache.salted_password(Secret(b"a"), b"s", 2) != first
    assert cache.salted_password(Secret(b"b"), b"s", 1) != first
    assert cache.salted_password(Secret(b"a"), b"s", 1) is not first
    assert len(cache._entries) == 2
    assert "b'a'" not in repr(cache._entries)


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("plain", "plain"),
        ("with blank", "with blank"),
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("a\u200bb", "a b"),
        ("pläßⅨ", "pläßIX"),
        ("\u0007", "\u0007"),
        ("a\ue000", "a\ue000"),
        ("\u0627\u0031", "\u0627\u0031"),
        ("\u0627\u0031\u0628", "\u0627\u0031\u0628"),
        ("\u0627a\u0628", "\u0627a\u0628"),
        ("\u00ad", "\u00ad"),
    ],
)
def test_passwords_are_prepared_as_by_rfc_4013_or_used_as_they_are(password: str, prepared: str) -> None:
    assert saslprep(password.encode()) == prepared.encode()


def test_a_password_that_is_not_utf8_is_used_as_it_is() -> None:
    assert saslprep(b"\xff\xfe") == b"\xff\xfe"


def self_signed(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, algorithm: hashes.HashAlgorithm | None) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "db")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    certificate = builder.not_valid_before(begin).not_valid_after(begin + timedelta(days=1)).sign(key, algorithm)  # type: ignore[arg-type]
    return certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize(("algorithm", "name"), [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384"), (hashes.SHA512(), "sha512")])
def test_a_certificate_is_hashed_by_the_hash_of_its_signature(algorithm: hashes.HashAlgorithm, name: str) -> None:
    certificate = self_signed(ec.generate_private_key(ec.SECP256R1()), algorithm)
    assert certificate_hash(certificate) == hashlib.new(name, certificate).digest()


def test_there_is_no_binding_where_it_is_undefined() -> None:
    assert certificate_hash(None) is None
    assert certificate_hash(b"nonsense") is None
    assert certificate_hash(self_signed(ed25519.Ed25519PrivateKey.generate(), None)) is None
