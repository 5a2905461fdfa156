"""HTTP towards an issuer: discovery and key sets, with everything bounded and nothing followed.

Spec: OpenID Connect Discovery 1.0 §4.3 (the issuer in the answer must be identical to the one asked for).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from querywarden.errors import DependencyFailure
from querywarden.identity.keyset import KEYSET_BYTES_MAX
from querywarden.identity.strict_json import StrictJsonError, decode_object

FETCH_SECONDS_MAX = 10.0
"""For the whole of one answer; a login waits for it only when there are no keys yet."""

Fetch = Callable[[str, Path | None], Awaitable[tuple[bytes, float | None]]]
"""Fetches a document by its address and the file of the authorities to trust; gives the bytes and their max-age in seconds."""

_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?([0-9]{1,10})\"?", re.IGNORECASE)
_NO_STORE = re.compile(r"(?:^|,)\s*no-(?:store|cache)\s*(?:,|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IssuerSource:
    """Where the keys of an issuer come from; `ca` None trusts the authorities that the system does."""

    issuer: str
    ca: Path | None = None


def is_safe_address(address: str) -> bool:
    """Whether an address may be asked: https, or http on this very machine, without a user, a fragment or anything unreadable."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


async def http_fetch(address: str, ca: Path | None) -> tuple[bytes, float | None]:
    """Fetch a document: status 200, of bounded size, no redirect, within the deadline. Raises DependencyFailure."""
    try:
        async with asyncio.timeout(FETCH_SECONDS_MAX), issuer_client(address, ca) as client, client.stream("GET", address) as response:
            if response.status_code != 200:
                raise DependencyFailure(f"the issuer answered with status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                # Not asked for, and a small answer could unpack to a huge one.
                raise DependencyFailure("the issuer sent a compressed answer")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > KEYSET_BYTES_MAX:
                    raise DependencyFailure("the issuer's answer is too large")
            return bytes(body), max_age_seconds(response.headers.get("cache-control", ""))
    except TimeoutError:
        raise DependencyFailure("the issuer did not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise DependencyFailure(f"the issuer could not be asked: {type(error).__name__}") from None


async def discover(source: IssuerSource, fetch: Fetch = http_fetch) -> str:
    """The address of the issuer's key set, from its discovery document. Raises DependencyFailure."""
    jwks_uri = (await discovery_document(source, fetch)).get("jwks_uri")
    if not isinstance(jwks_uri, str) or not is_safe_address(jwks_uri):
        raise DependencyFailure("the discovery document has no jwks_uri that is https")
    return jwks_uri


async def discovery_document(source: IssuerSource, fetch: Fetch = http_fetch) -> dict[str, Any]:
    """The issuer's discovery document, once it is sure that it is this issuer's. Raises DependencyFailure."""
    if not is_safe_address(source.issuer):
        raise DependencyFailure("the issuer's address must be https (http only on this machine)")
    document, _ = await fetch(source.issuer.rstrip("/") + "/.well-known/openid-configuration", source.ca)
    try:
        values = decode_object(document)
    except StrictJsonError:
        raise DependencyFailure("the issuer's discovery document is not a JSON object") from None
    if values.get("issuer") != source.issuer:
        raise DependencyFailure("the discovery document names another issuer; configure exactly the text that it names")
    return values


def max_age_seconds(cache_control: str) -> float | None:
    """The max-age of a Cache-Control header; 0 where it forbids keeping, None where it says nothing."""
    if _NO_STORE.search(cache_control):
        return 0.0
    match = _MAX_AGE.search(cache_control)
    return float(match[1]) if match else None


def issuer_client(address: str, ca: Path | None) -> httpx.AsyncClient:
    """An HTTP client for an issuer's address: no redirects, a deadline, the given authorities or the usual ones."""
    is_local = _is_loopback(urlsplit(address).hostname or "")
    try:
        verify = ssl.create_default_context(cafile=str(ca)) if ca is not None else httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise DependencyFailure(f"the file of trusted authorities can't be read: {type(error).__name__}") from None
    return httpx.AsyncClient(
        verify=verify,
        follow_redirects=False,
        timeout=FETCH_SECONDS_MAX,
        # An HTTP proxy named in the environment serves the outside world, never this machine.
        trust_env=not is_local,
        headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": "querywarden"},
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
