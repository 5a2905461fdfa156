"""Signing keys of the demo issuer: made in memory, gone with the process. For the demo and for tests only."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

ALGORITHMS = ("ES256", "RS256", "EdDSA")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its id and its one algorithm."""

    kid: str
    algorithm: str
    private_key: PrivateKey = field(repr=False)

    @classmethod
    def generate(cls, kid: str, algorithm: str) -> SigningKey:
        """Generate a key for ES256, RS256 or EdDSA."""
        private_key: PrivateKey
        match algorithm:
            case "ES256":
                private_key = ec.generate_private_key(ec.SECP256R1())
            case "RS256":
                private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            case "EdDSA":
                private_key = ed25519.Ed25519PrivateKey.generate()
            case _:
                raise ValueError(f"the demo issuer signs with {', '.join(ALGORITHMS)}")
        return cls(kid, algorithm, private_key)

    def jwk(self) -> dict[str, str]:
        """The public half as a JWK."""
        common = {"kid": self.kid, "alg": self.algorithm, "use": "sig"}
        match self.private_key:
            case rsa.RSAPrivateKey() as key:
                rsa_numbers = key.public_key().public_numbers()
                return common | {"kty": "RSA", "n": _integer(rsa_numbers.n), "e": _integer(rsa_numbers.e)}
            case ec.EllipticCurvePrivateKey() as key:
                numbers = key.public_key().public_numbers()
                return common | {"kty": "EC", "crv": "P-256", "x": _integer(numbers.x, 32), "y": _integer(numbers.y, 32)}
            case ed25519.Ed25519PrivateKey() as key:
                return common | {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_key().public_bytes_raw())}

    def sign(self, data: bytes) -> bytes:
        """The signature over data, in JWS form (RFC 7518 §3)."""
        match self.private_key:
            case rsa.RSAPrivateKey() as key:
                return key.sign(data, padding.PKCS1v15(), SHA256())
            case ec.EllipticCurvePrivateKey() as key:
                r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
            case ed25519.Ed25519PrivateKey() as key:
                return key.sign(data)


def sign_jwt(key: SigningKey, claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    """A signed JWT; members of the header whose value is None are left out."""
    full = {"alg": key.algorithm, "kid": key.kid, **header}
    kept = {name: value for name, value in full.items() if value is not None}
    signed = f"{base64url(json.dumps(kept).encode())}.{base64url(json.dumps(claims).encode())}"
    return f"{signed}.{base64url(key.sign(signed.encode()))}"


def base64url(data: bytes) -> str:
    """Bytes in base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _integer(value: int, width: int | None = None) -> str:
    return base64url(value.to_bytes(width or (value.bit_length() + 7) // 8, "big"))
