"""The grants of the demo issuer: how a client comes to a token. FOR THE DEMO AND FOR TESTS ONLY.

Spec: RFC 8628 (device), RFC 6749 §4.4 and §6 (client credentials, refresh), RFC 8693 (token exchange).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

from querywarden.errors import IdentityRejected
from querywarden.identity.issuer_rules import IssuerRules
from querywarden.identity.keyset import parse_keyset
from querywarden.identity.token import verify_jwt

if TYPE_CHECKING:
    from querywarden.demo.issuer import Issuer

DEMO_USERS: Mapping[str, tuple[str, ...]] = {
    "alice": ("developers",),
    "bob": ("analysts",),
    "carol": ("security",),
    "erin": ("querywarden-approvers",),
}
"""The demo's people and their groups; nobody has a password."""

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

_DEVICE_SECONDS = 600
_USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A client of the demo issuer; `secret` None makes it a public one."""

    secret: str | None = field(default=None, repr=False)
    groups: tuple[str, ...] = ()


DEMO_CLIENTS: Mapping[str, DemoClient] = {
    "querywarden-cli": DemoClient(),
    "reporting": DemoClient("demo-reporting-secret", ("reports",)),
    "shop-agent": DemoClient("demo-agent-secret", ("agents",)),
}


@dataclass(slots=True)
class DeviceLogin:
    """A device login under way: waiting, approved by a user, or denied."""

    client: str
    user_code: str
    scope: str
    expires_at: float
    subject: str | None = None
    is_denied: bool = False
    polled_at: float = 0.0


class GrantRefused(Exception):
    """An OAuth error answer; the code is one of RFC 6749 §5.2 or RFC 8628 §3.5."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


class Grants:
    """The token endpoint and the device logins of one demo issuer."""

    NAMES: ClassVar[frozenset[str]] = frozenset({DEVICE_CODE, "client_credentials", "refresh_token", TOKEN_EXCHANGE})
    POLL_SECONDS: ClassVar[int] = 1

    def __init__(self, issuer: Issuer, clients: Mapping[str, DemoClient], auto_approve: str | None) -> None:
        self._issuer = issuer
        self._clients = clients
        self._auto_approve = auto_approve
        self._lock = threading.Lock()
        self._logins: dict[str, DeviceLogin] = {}
        self._refresh: dict[str, tuple[str, str]] = {}

    @property
    def users(self) -> Mapping[str, tuple[str, ...]]:
        """The people who can approve a device login."""
        return self._issuer.users

    def begin_device_login(self, form: Mapping[str, str], authorization: str | None) -> dict[str, Any]:
        """The answer to a device authorization request."""
        client, _ = self._client(form, authorization)
        user_code = "-".join("".join(secrets.choice(_USER_CODE_LETTERS) for _ in range(4)) for _ in range(2))
        login = DeviceLogin(client, user_code, form.get("scope", ""), time.time() + _DEVICE_SECONDS, self._auto_approve)
        device_code = secrets.token_urlsafe(32)
        with self._lock:
            self._logins[device_code] = login
        page = f"{self._issuer.url}/device"
        return {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={user_code}",
            "expires_in": _DEVICE_SECONDS,
            "interval": self.POLL_SECONDS,
        }

    def settle_device_login(self, user_code: str, subject: str | None) -> bool:
        """Approve a device login as a demo user, or deny it with None; false when there is no such login."""
        with self._lock:
            for login in self._logins.values():
                if login.user_code == user_code.strip().upper() and (subject is None or subject in self.users):
                    login.subject, login.is_denied = subject, subject is None
                    return True
        return False

    def token(self, form: Mapping[str, str], authorization: str | None) -> dict[str, Any]:
        """The answer of the token endpoint; raises GrantRefused."""
        client, demo_client = self._client(form, authorization)
        match form.get("grant_type"):
            case name if name == DEVICE_CODE:
                return self._device_token(client, form)
            case "client_credentials":
                if demo_client.secret is None:
                    raise GrantRefused("unauthorized_client")
                return self._answer(self._issuer.mint(client, demo_client.groups, client=client))
            case "refresh_token":
                with self._lock:
                    found = self._refresh.pop(form.get("refresh_token", ""), None)
                if found is None or found[0] != client:
                    raise GrantRefused("invalid_grant")
                return self._person_answer(client, found[1], "openid offline_access")
            case name if name == TOKEN_EXCHANGE:
                return self._exchange(client, demo_client, form)
            case _:
                raise GrantRefused("unsupported_grant_type")

    def _client(self, form: Mapping[str, str], authorization: str | None) -> tuple[str, DemoClient]:
        """The client that speaks, by Basic authentication or by the form."""
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization is not None and authorization.startswith("Basic "):
            try:
                name, _, secret = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise GrantRefused("invalid_client", 401) from None
            name, secret = unquote(name), unquote(secret)
        client = self._clients.get(name)
        if client is None or (client.secret is not None and not hmac.compare_digest(client.secret.encode(), secret.encode())):
            raise GrantRefused("invalid_client", 401)
        return name, client

    def _device_token(self, client: str, form: Mapping[str, str]) -> dict[str, Any]:
        code, now = form.get("device_code", ""), time.time()
        with self._lock:
            login = self._logins.get(code)
            if login is None or login.client != client:
                raise GrantRefused("invalid_grant")
            if now >= login.expires_at or login.is_denied:
                del self._logins[code]
                raise GrantRefused("access_denied" if login.is_denied else "expired_token")
            polled_at, login.polled_at = login.polled_at, now
            if login.subject is None:
                # A little less than the interval: the clocks of two processes aren't one.
                raise GrantRefused("slow_down" if now - polled_at < self.POLL_SECONDS * 0.8 else "authorization_pending")
            del self._logins[code]
            subject, scope = login.subject, login.scope
        return self._person_answer(client, subject, scope)

    def _exchange(self, client: str, demo_client: DemoClient, form: Mapping[str, str]) -> dict[str, Any]:
        """Delegation: the client's token for acting for a person, whose token it shows."""
        if demo_client.secret is None or form.get("subject_token_type") != ACCESS_TOKEN:
            raise GrantRefused("invalid_request")
        rules = IssuerRules(self._issuer.url, self._issuer.audience)
        keys = parse_keyset(json.dumps(self._issuer.key_set()).encode())
        try:
            person = verify_jwt(form.get("subject_token", "").encode(), {rules.issuer: rules}, lambda _: keys, time.time())
        except IdentityRejected:
            raise GrantRefused("invalid_grant") from None
        act: dict[str, Any] = {"sub": client}
        if "act" in person.values:
            act["act"] = person.values["act"]
        token = self._issuer.mint(person.subject, person.values.get("groups"), client=client, act=act)
        return self._answer(token) | {"issued_token_type": ACCESS_TOKEN}

    def _person_answer(self, client: str, subject: str, scope: str) -> dict[str, Any]:
        answer = self._answer(self._issuer.mint(subject, client=client))
        scopes = scope.split()
        if "openid" in scopes:
            answer["id_token"] = self._issuer.mint_id_token(subject, client)
        if "offline_access" in scopes:
            answer["refresh_token"] = secrets.token_urlsafe(32)
            with self._lock:
                self._refresh[answer["refresh_token"]] = (client, subject)
        return answer

    def _answer(self, token: str) -> dict[str, Any]:
        return {"access_token": token, "token_type": "Bearer", "expires_in": self._issuer.token_seconds}
