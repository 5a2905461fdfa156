"""The device authorization grant (RFC 8628) against the demo's issuer, with the person's approval played by a request to its page."""

from __future__ import annotations

import time

import httpx

_APPROVAL_SECONDS_MAX = 15


class LoginTrouble(Exception):
    """The demo's issuer did not give a token; the text holds none."""


def obtain_token(issuer_url: str, client_id: str, user: str) -> str:
    """Go through the device flow as a terminal program does, approve it as a demo user does, and return the access token."""
    # trust_env: a proxy of the environment has no business on the loopback address.
    with httpx.Client(timeout=10, trust_env=False) as http:
        discovery = http.get(f"{issuer_url}/.well-known/openid-configuration").raise_for_status().json()
        begun = http.post(discovery["device_authorization_endpoint"], data={"client_id": client_id, "scope": "openid db:connect"})
        login = begun.raise_for_status().json()
        # In the interactive demo a person would open this page and press the button.
        http.post(login["verification_uri"], data={"user_code": login["user_code"], "user": user}).raise_for_status()
        deadline = time.monotonic() + _APPROVAL_SECONDS_MAX
        while time.monotonic() < deadline:
            answer = http.post(
                discovery["token_endpoint"],
                data={
                    "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                    "device_code": login["device_code"],
                    "client_id": client_id,
                },
            )
            if answer.status_code == httpx.codes.OK:
                return str(answer.json()["access_token"])
            error = answer.json().get("error")
            if error not in {"authorization_pending", "slow_down"}:
                raise LoginTrouble(f"the demo's issuer refused the login: {error}")
            time.sleep(login.get("interval", 5) + (5 if error == "slow_down" else 0))
    raise LoginTrouble(f"nobody approved the login within {_APPROVAL_SECONDS_MAX} s")
