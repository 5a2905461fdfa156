"""The settings around approvals: the HTTP API where approvers vote, how held statements wait, and who is told by webhook."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from querywarden.config.setting_kinds import ListenerTls, Names, PathSetting, Port, Seconds, Settings, is_https_or_loopback
from querywarden.model.decision import WaitMode


def _safe_url(url: str) -> str:
    """An address that nobody on the way can read or change, without a user or a fragment, which would be passed on or lost."""
    if not is_https_or_loopback(url):
        raise ValueError("the URL must begin with https:// (http:// is accepted for loopback addresses only)")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not a URL that can be asked") from None
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("the URL needs a host and has no user, password or fragment")
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("the URL holds spaces or control characters")
    return url


SafeUrl = Annotated[str, AfterValidator(_safe_url)]


class ApiListenSettings(Settings):
    """A TCP address of the HTTP API, beside its Unix socket."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(9443, description="TCP port; 0 takes any free one.")
    tls: ListenerTls | None = Field(None, description="Certificate and key; without them plaintext is accepted, on loopback only.")
    allow_plaintext_loopback: bool = Field(
        False, description="Serve without TLS here; the host must be a loopback address, since tokens travel in clear."
    )


class ApiSettings(Settings):
    """The HTTP API of the proxy: approvals, sessions, access. Every request carries a verified token of its caller."""

    enabled: bool = Field(True, description="Serve the API; without it nobody can approve through this proxy.")
    socket: PathSetting = Field(Path("data/querywarden.sock"), description="Unix socket of the API.")
    socket_mode: Annotated[str, StringConstraints(pattern=r"^0?[0-7]{3}$")] = Field(
        "0600", description="Permissions of the socket, in octal digits and in quotes."
    )
    listen: ApiListenSettings | None = Field(None, description="A TCP address besides the socket.")
    url: SafeUrl | None = Field(None, description="Public address of the API, shown where people are told where to approve.")
    administrators: Names = Field(
        ("querywarden-admins",), description="Groups (globs) that may see all requests, list and end sessions, and block principals."
    )

    @property
    def socket_permissions(self) -> int:
        """The permissions of the socket as a number."""
        return int(self.socket_mode, 8)


class ApprovalSettings(Settings):
    """How held statements wait for their approval."""

    notice_seconds: Seconds = Field(30.0, description="How often a waiting client is told again that it waits.")
    mode: WaitMode = Field(
        WaitMode.WAIT,
        description="wait: the client waits; fail: it gets an error with the request's id and runs the statement again later.",
    )
    agent_mode: WaitMode = Field(WaitMode.FAIL, description="The same for principals of the kind agent.")
    pending_max: Annotated[int, Field(ge=1, le=10_000)] = Field(
        20, description="How many requests of one principal may wait for an answer, statements and access together."
    )
    retention_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        30, description="Settled requests, with the texts and parameters of their statements, are deleted after so many days."
    )


class WebhookFormat(StrEnum):
    """What a webhook is sent."""

    JSON = "json"
    SLACK = "slack"


class WebhookEvent(StrEnum):
    """What a webhook is told of."""

    REQUESTED = "approval.requested"
    GRANTED = "approval.granted"
    DENIED = "approval.denied"
    EXPIRED = "approval.expired"
    WITHDRAWN = "approval.withdrawn"
    USED = "approval.used"


class WebhookSettings(Settings):
    """An address that is told what happens to approvals."""

    url: SafeUrl = Field(
        description="Where to POST; https, or http on this machine. Shown without its path, which may be a secret.", repr=False
    )
    format: WebhookFormat = Field(
        WebhookFormat.JSON, description="json, or slack for an incoming webhook of Slack or of what understands its form."
    )
    secret: SecretStr | None = Field(
        None,
        description="Key of the signatures (Standard Webhooks; whsec_… is base64); better given as ${NAME}. Without it nothing is signed.",
    )
    events: tuple[WebhookEvent, ...] = Field(tuple(WebhookEvent), description="Events that are told; default: all.")
