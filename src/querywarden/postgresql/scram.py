"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS towards the server: the client's half.

Spec: RFC 5802, RFC 7677, RFC 5929 (tls-server-end-point); PostgreSQL 18, "SCRAM-SHA-256 Authentication".
"""

from __future__ import annotations

import hashlib
import hmac
import stringprep
import unicodedata
from base64 import b64decode, b64encode

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from querywarden.errors import PeerViolation
from querywarden.model.secret import Secret

SCRAM_SHA_256 = b"SCRAM-SHA-256"
SCRAM_SHA_256_PLUS = b"SCRAM-SHA-256-PLUS"

NONCE_BYTES = 18
ITERATIONS_MAX = 1_000_000
"""Iterations are paid in the event loop, once per server and password: a million take about half a second."""
SALT_BYTES_MAX = 1024
MESSAGE_BYTES_MAX = 8192

_PROHIBITED = (
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4, stringprep.in_table_c5,
    stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8, stringprep.in_table_c9, stringprep.in_table_a1,
)  # fmt: skip


class ScramCache:
    """Salted passwords, kept since each costs thousands of hashes; bounded, oldest out first. Secrets: all of it."""

    __slots__ = ("_entries", "_entries_max")

    def __init__(self, entries_max: int = 256) -> None:
        self._entries: dict[tuple[Secret, bytes, int], Secret] = {}
        self._entries_max = entries_max

    def salted_password(self, password: Secret, salt: bytes, iterations: int) -> bytes:
        """SaltedPassword of RFC 5802, from the cache or computed."""
        key = (password, salt, iterations)
        salted = self._entries.get(key)
        if salted is None:
            salted = Secret(hashlib.pbkdf2_hmac("sha256", saslprep(password.reveal()), salt, iterations))
            if len(self._entries) >= self._entries_max:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = salted
        return salted.reveal()


class ScramClient:
    """One SCRAM exchange, as client.

    Args:
        plus_binding: the server certificate's hash for the -PLUS mechanism; None for the plain one.
        nonce: printable and random, without commas.
    """

    __slots__ = ("_cache", "_first_bare", "_gs2", "_is_proven", "_nonce", "_password", "_plus_binding", "_server_signature")

    def __init__(self, password: Secret, nonce: bytes, plus_binding: bytes | None, cache: ScramCache) -> None:
        self._password = password
        self._nonce = nonce
        self._plus_binding = plus_binding
        self._cache = cache
        # "y" would say "you don't offer -PLUS", at which a server that does must abort; so it is "n" when we don't bind.
        self._gs2 = b"n,," if plus_binding is None else b"p=tls-server-end-point,,"
        # The role is in the StartupMessage; PostgreSQL ignores a name given here.
        self._first_bare = b"n=,r=" + nonce
        self._server_signature: bytes | None = None
        self._is_proven = False

    @property
    def mechanism(self) -> bytes:
        """The name of the mechanism in use."""
        return SCRAM_SHA_256 if self._plus_binding is None else SCRAM_SHA_256_PLUS

    @property
    def is_proven(self) -> bool:
        """Whether the server has shown that it knows the password too."""
        return self._is_proven

    def first(self) -> bytes:
        """The client-first-message."""
        return self._gs2 + self._first_bare

    def respond(self, server_first: bytes) -> bytes:
        """The client-final-message to a server-first-message.

        Raises: PeerViolation if it is malformed, its nonce is not ours continued, or its iterations exceed the limit.
        """
        if self._server_signature is not None:
            raise PeerViolation("SCRAM: a second challenge")
        nonce, salt, iterations = parse_server_first(server_first)
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise PeerViolation("SCRAM: the server's nonce does not continue ours")
        binding = self._gs2 + (self._plus_binding or b"")
        without_proof = b"c=" + b64encode(binding) + b",r=" + nonce
        auth_message = b",".join((self._first_bare, server_first, without_proof))
        salted = self._cache.salted_password(self._password, salt, iterations)
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), auth_message)
        proof = bytes(key ^ sign for key, sign in zip(client_key, signature, strict=True))
        self._server_signature = _hmac(_hmac(salted, b"Server Key"), auth_message)
        return without_proof + b",p=" + b64encode(proof)

    def finish(self, server_final: bytes) -> None:
        """Check the server-final-message.

        Raises: PeerViolation unless it holds the signature that only someone who knows the password's verifier can make.
        """
        expected = self._server_signature
        if expected is None or not server_final.startswith(b"v="):
            raise PeerViolation("SCRAM: the server's last message is not a signature")
        if not hmac.compare_digest(_base64(server_final[2:]), expected):
            raise PeerViolation("SCRAM: the server's signature is wrong; it may not be the server it claims to be")
        self._is_proven = True


def parse_server_first(message: bytes) -> tuple[bytes, bytes, int]:
    """Parse a server-first-message: the nonce, the salt and the iteration count, strictly in this order."""
    parts = message.split(b",")
    if len(message) > MESSAGE_BYTES_MAX or len(parts) != 3 or [part[:2] for part in parts] != [b"r=", b"s=", b"i="]:
        raise PeerViolation("SCRAM: the server's challenge is malformed")
    nonce, salt, digits = parts[0][2:], _base64(parts[1][2:]), parts[2][2:]
    if not all(0x21 <= byte <= 0x7E for byte in nonce) or not 0 < len(salt) <= SALT_BYTES_MAX:
        raise PeerViolation("SCRAM: the server's nonce or salt is malformed")
    if not digits.isdigit() or len(digits) > 10 or not 1 <= int(digits) <= ITERATIONS_MAX:
        raise PeerViolation(f"SCRAM: the iteration count is not between 1 and {ITERATIONS_MAX}")
    return nonce, salt, int(digits)


def draw_nonce(random: bytes) -> bytes:
    """A nonce of these random bytes, printable and without commas."""
    return b64encode(random)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _base64(text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise PeerViolation("SCRAM: invalid base64") from None


def certificate_hash(certificate: bytes | None) -> bytes | None:
    """The channel binding data `tls-server-end-point` of a certificate (DER).

    Returns: its hash by the hash of its own signature (SHA-256 in place of MD5 and SHA-1, RFC 5929 §4.1); None where that is
        undefined, as for Ed25519, or the certificate can't be read: then there is no channel binding.
    """
    if certificate is None:
        return None
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name, certificate).digest() if name in hashlib.algorithms_available else None


def saslprep(password: bytes) -> bytes:
    """Prepare a password by SASLprep (RFC 4013); as in PostgreSQL, one that it prohibits is used as it is."""
    try:
        text = password.decode()
    except UnicodeDecodeError:
        return password
    if text.isascii() and text.isprintable():
        return password
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if stringprep.in_table_c12(c) or not stringprep.in_table_b1(c))
    normalised = unicodedata.normalize("NFKC", mapped)
    if not normalised or any(prohibits(c) for c in normalised for prohibits in _PROHIBITED) or not _is_bidi_sound(normalised):
        return password
    return normalised.encode()


def _is_bidi_sound(text: str) -> bool:
    """RFC 3454 §6: right-to-left text holds no left-to-right letter, and begins and ends right-to-left."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    return stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1]) and not any(map(stringprep.in_table_d2, text))
