"""The key set of an issuer (JWK Set, RFC 7517), reduced to the public keys that may verify a signature.

Keys for other uses, of other types, too weak, malformed or published with their private half are left out; they don't spoil the
rest. What remains is bounded in size and number before anything is allocated for it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from querywarden.identity.strict_json import StrictJsonError, decode_object

KEYSET_BYTES_MAX = 512 * 1024
"""A key set of a hundred RSA keys with certificate chains stays below this."""
KEYS_MAX = 100
"""Keys looked at; providers publish two to ten, federations some dozens."""
RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192
"""Verification time grows with the square of the size."""

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_CURVES: Mapping[str, tuple[EllipticCurve, str]] = {
    "P-256": (SECP256R1(), "ES256"),
    "P-384": (SECP384R1(), "ES384"),
    "P-521": (SECP521R1(), "ES512"),
}
_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


class KeySetError(ValueError):
    """A document that is no key set at all, or none that can be used; the text is public."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key of an issuer with the algorithms that it may verify."""

    kid: str | None
    algorithms: frozenset[str]
    public_key: PublicKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one issuer."""

    keys: tuple[VerificationKey, ...]

    def has(self, kid: str) -> bool:
        """Whether a key of this id is there."""
        return any(key.kid == kid for key in self.keys)

    def candidates(self, kid: str | None) -> tuple[VerificationKey, ...]:
        """The keys that a token may mean: those of its `kid`, or all when it names none."""
        return self.keys if kid is None else tuple(key for key in self.keys if key.kid == kid)


def parse_keyset(document: bytes) -> KeySet:
    """Parse a JWK Set; raises KeySetError when it is none or holds no usable key."""
    if len(document) > KEYSET_BYTES_MAX:
        raise KeySetError("the key set is too large")
    try:
        entries = decode_object(document).get("keys")
    except StrictJsonError:
        raise KeySetError("the key set is not a JSON object") from None
    if not isinstance(entries, list):
        raise KeySetError("the key set has no list of keys")
    if len(entries) > KEYS_MAX:
        raise KeySetError("the key set has too many keys")
    keys = tuple(key for entry in entries if isinstance(entry, Mapping) and (key := _usable_key(entry)) is not None)
    if not keys:
        raise KeySetError("the key set has no key that can verify signatures")
    return KeySet(keys)


def _usable_key(jwk: Mapping[str, Any]) -> VerificationKey | None:
    """The key that a JWK holds, or None when it isn't one for verifying signatures."""
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    if "d" in jwk or "k" in jwk:
        # A private or symmetric key that everybody can read proves nothing.
        return None
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        return None
    try:
        found = _public_key(jwk)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if found is None:
        return None
    public_key, algorithms = found
    if (alg := jwk.get("alg")) is not None:
        algorithms = frozenset({alg}) & algorithms if isinstance(alg, str) else frozenset()
    return VerificationKey(kid, algorithms, public_key) if algorithms else None


def _public_key(jwk: Mapping[str, Any]) -> tuple[PublicKey, frozenset[str]] | None:
    match jwk.get("kty"), jwk.get("crv"):
        case "RSA", _:
            modulus, exponent = _integer(jwk, "n", RSA_BITS_MAX // 8 + 1), _integer(jwk, "e", 8)
            if not RSA_BITS_MIN <= modulus.bit_length() <= RSA_BITS_MAX:
                return None
            return RSAPublicNumbers(exponent, modulus).public_key(), _RSA_ALGORITHMS
        case "EC", str(name) if name in _CURVES:
            curve, algorithm = _CURVES[name]
            return EllipticCurvePublicNumbers(_integer(jwk, "x", 66), _integer(jwk, "y", 66), curve).public_key(), frozenset({algorithm})
        case "OKP", "Ed25519":
            return Ed25519PublicKey.from_public_bytes(_octets(jwk, "x", 32)), frozenset({"EdDSA"})
        case "OKP", "Ed448":
            return Ed448PublicKey.from_public_bytes(_octets(jwk, "x", 57)), frozenset({"EdDSA"})
        case _:
            return None


def _octets(jwk: Mapping[str, Any], member: str, octets_max: int) -> bytes:
    value = jwk.get(member)
    if not isinstance(value, str) or len(value) > octets_max * 2 or not _BASE64URL.fullmatch(value):
        raise ValueError(f"the member {member} is malformed")
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def _integer(jwk: Mapping[str, Any], member: str, octets_max: int) -> int:
    return int.from_bytes(_octets(jwk, member, octets_max), "big")
