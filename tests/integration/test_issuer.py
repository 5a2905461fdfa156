"""The demo issuer and the proxy's side of it, over real HTTP: discovery, rotation, grants, login."""

from __future__ import annotations

import asyncio
import re
import ssl
import stat
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import httpx
import pytest
import typer
from typer.testing import CliRunner

from querywarden.admin.device_login import DevicePrompt, cache_token, device_login
from querywarden.cli.login import login
from querywarden.cli.proxy_api import api_client
from querywarden.demo.certificates import write_certificates
from querywarden.demo.issuer import CLIENT_ID, SCOPE, Issuer
from querywarden.demo.issuer_grants import ACCESS_TOKEN, DEVICE_CODE, TOKEN_EXCHANGE
from querywarden.errors import DependencyFailure, IdentityRejected
from querywarden.identity.issuer_rules import IssuerRules
from querywarden.identity.rejection import Cause
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.runtime.credentials import CredentialVerifier
from querywarden.runtime.issuer_http import IssuerSource, http_fetch
from querywarden.runtime.keyset_refresh import KeySetRefresher, RefreshTimes

AGENT = ("shop-agent", "demo-agent-secret")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


def verifier_of(issuer: Issuer, interval: float = 0.0) -> CredentialVerifier:
    keys = KeySetRefresher([IssuerSource(issuer.url)], times=RefreshTimes(unknown_key_interval=interval))
    return CredentialVerifier({issuer.url: IssuerRules(issuer.url, issuer.audience, scope=SCOPE)}, keys, None)


async def verify(verifier: CredentialVerifier, token: str) -> Principal:
    return await verifier.verify(token.encode(), "shop", "127.0.0.1")


async def rejection(verifier: CredentialVerifier, token: str) -> str:
    with pytest.raises(IdentityRejected) as caught:
        await verify(verifier, token)
    return caught.value.cause


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_token_of_the_issuer_is_accepted(issuer: Issuer, algorithm: str) -> None:
    principal = await verify(verifier_of(issuer), issuer.mint("alice", algorithm=algorithm))
    assert (principal.subject, principal.issuer, principal.kind) == ("alice", issuer.url, PrincipalKind.HUMAN)
    assert principal.groups == {"developers"}


async def test_id_token_is_rejected(issuer: Issuer) -> None:
    assert await rejection(verifier_of(issuer), issuer.mint_id_token("alice")) == Cause.TYPE_REFUSED


async def test_overrides_set_and_remove_claims(issuer: Issuer) -> None:
    verifier = verifier_of(issuer)
    assert await rejection(verifier, issuer.mint("alice", scope=None)) == Cause.SCOPE
    assert await rejection(verifier, issuer.mint("alice", lifetime_seconds=-60)) == Cause.EXPIRED
    assert (await verify(verifier, issuer.mint("dave", ["x"]))).groups == {"x"}


async def test_rotated_key_is_fetched_and_a_dropped_one_is_no_longer_good(issuer: Issuer) -> None:
    verifier = verifier_of(issuer)
    old = issuer.mint("alice")
    await verify(verifier, old)
    issuer.rotate_keys()
    await verify(verifier, issuer.mint("alice"))
    await verify(verifier, old)
    assert issuer.fetches["/keys"] == 2
    issuer.rotate_keys(keep_old=False)
    await verify(verifier, issuer.mint("alice"))
    assert await rejection(verifier, old) == Cause.KEY_UNKNOWN


async def test_keys_serve_on_while_the_issuer_is_away(issuer: Issuer) -> None:
    verifier = verifier_of(issuer, interval=30.0)
    token = issuer.mint("alice")
    await verify(verifier, token)
    url = issuer.url
    issuer.stop()
    await verify(verifier, token)
    issuer.start()
    assert issuer.url == url


async def test_issuer_that_is_away_keeps_everybody_out(issuer: Issuer) -> None:
    verifier, token = verifier_of(issuer), issuer.mint("alice")
    issuer.stop()
    assert await rejection(verifier, token) == Cause.KEYS_UNAVAILABLE


async def test_fifty_logins_at_once_ask_once(issuer: Issuer) -> None:
    verifier, token = verifier_of(issuer, interval=30.0), issuer.mint("alice")
    await asyncio.gather(*(verify(verifier, token) for _ in range(50)))
    assert issuer.fetches == {"/.well-known/openid-configuration": 1, "/keys": 1}


async def test_device_login_by_the_page(issuer: Issuer) -> None:
    prompts: list[DevicePrompt] = []

    async def approve(_: float) -> None:
        async with httpx.AsyncClient(trust_env=False) as browser:
            page = (await browser.get(prompts[0].page)).text
            code = re.search(r'name="user_code" value="([A-Z-]+)"', page)
            assert code is not None
            assert code[1] == prompts[0].code
            assert "For the demo only" in page
            await browser.post(f"{issuer.url}/device", data={"user_code": code[1], "user": "bob"})

    token = await device_login(IssuerSource(issuer.url), CLIENT_ID, f"openid {SCOPE}", prompts.append, sleep=approve)
    assert (await verify(verifier_of(issuer), token)).subject == "bob"


async def test_denied_device_login(issuer: Issuer) -> None:
    prompts: list[DevicePrompt] = []

    async def deny(_: float) -> None:
        async with httpx.AsyncClient(trust_env=False) as browser:
            await browser.post(f"{issuer.url}/device", data={"user_code": prompts[0].code, "user": ""})

    with pytest.raises(DependencyFailure, match="denied"):
        await device_login(IssuerSource(issuer.url), CLIENT_ID, "openid", prompts.append, sleep=deny)


async def test_device_login_waits_and_slows_down_when_told(issuer: Issuer) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await device_login(IssuerSource(issuer.url), CLIENT_ID, "openid", lambda _: None, sleep=wait)
    assert waits == [1, 1, 6, 11]


async def test_unknown_client_is_told(issuer: Issuer) -> None:
    with pytest.raises(DependencyFailure, match="invalid_client"):
        await device_login(IssuerSource(issuer.url), "nobody", "openid", lambda _: None)


def post(issuer: Issuer, auth: tuple[str, str] | None = None, **form: str) -> tuple[int, dict[str, Any]]:
    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{issuer.url}/token", data=form, auth=auth or httpx.USE_CLIENT_DEFAULT)
    return answer.status_code, answer.json()


async def test_client_credentials_are_a_service(issuer: Issuer) -> None:
    status, answer = post(issuer, ("reporting", "demo-reporting-secret"), grant_type="client_credentials")
    principal = await verify(verifier_of(issuer), answer["access_token"])
    assert (status, principal.subject, principal.kind, principal.groups) == (200, "reporting", PrincipalKind.SERVICE, {"reports"})


@pytest.mark.parametrize(
    ("auth", "form", "status", "error"),
    [
        (("reporting", "wrong"), {"grant_type": "client_credentials"}, 401, "invalid_client"),
        (None, {"grant_type": "client_credentials", "client_id": CLIENT_ID}, 400, "unauthorized_client"),
        (None, {"grant_type": "password", "client_id": CLIENT_ID}, 400, "unsupported_grant_type"),
        (None, {"grant_type": DEVICE_CODE, "client_id": CLIENT_ID, "device_code": "x"}, 400, "invalid_grant"),
        (None, {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": "x"}, 400, "invalid_grant"),
        (None, {}, 401, "invalid_client"),
    ],
)
def test_refused_grants(issuer: Issuer, auth: tuple[str, str] | None, form: dict[str, str], status: int, error: str) -> None:
    assert post(issuer, auth, **form) == (status, {"error": error})


async def test_agent_that_acts_for_a_person_has_both(issuer: Issuer) -> None:
    form = {"grant_type": TOKEN_EXCHANGE, "subject_token": issuer.mint("alice"), "subject_token_type": ACCESS_TOKEN}
    _, answer = post(issuer, AGENT, **form)
    principal = await verify(verifier_of(issuer), answer["access_token"])
    assert (principal.subject, principal.kind, principal.groups) == ("alice", PrincipalKind.AGENT, {"developers"})
    assert (principal.actors, principal.label) == ((Actor("shop-agent", issuer.url),), "shop-agent for alice")

    _, second = post(issuer, ("reporting", "demo-reporting-secret"), **(form | {"subject_token": answer["access_token"]}))
    actors = (await verify(verifier_of(issuer), second["access_token"])).actors
    assert [actor.subject for actor in actors] == ["reporting", "shop-agent"]
    assert post(issuer, AGENT, **(form | {"subject_token": "forged"}))[1] == {"error": "invalid_grant"}


def test_refresh_token_is_good_once() -> None:
    with Issuer(auto_approve="carol") as issuer, httpx.Client(trust_env=False) as client:
        begun = client.post(f"{issuer.url}/device_authorization", data={"client_id": CLIENT_ID, "scope": "openid offline_access"}).json()
        _, first = post(issuer, grant_type=DEVICE_CODE, client_id=CLIENT_ID, device_code=begun["device_code"])
        form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": first["refresh_token"]}
        assert post(issuer, **form)[0] == 200
        assert post(issuer, **form) == (400, {"error": "invalid_grant"})
        assert "id_token" in first


def test_login_command_keeps_the_token_and_prints_a_line_for_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    app.command()(login)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("QUERYWARDEN_TOKEN", raising=False)
    kept = tmp_path / "home" / ".config" / "querywarden" / "token"
    with Issuer(auto_approve="alice") as issuer:
        options = ["--issuer", issuer.url, "--client-id", CLIENT_ID]
        printed = CliRunner().invoke(app, [*options, "--print"])
        assert printed.exit_code == 0
        assert re.fullmatch(r"[\w.-]+\n", printed.stdout)
        assert "Open http" in printed.stderr
        assert not kept.exists()
        shown = CliRunner().invoke(app, options)
        assert (shown.exit_code, shown.stdout) == (0, f'export PGPASSWORD="$(cat {kept})"\n')
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        # The commands that need a token find it there.
        client = api_client(tmp_path / "none.yaml", tmp_path / "none.sock", None, None, None)
        assert client._token.reveal() == kept.read_bytes().strip()
        cache = tmp_path / "folder" / "token"
        cached = CliRunner().invoke(app, [*options, "--cache", str(cache)])
        assert cached.stdout == f'export PGPASSWORD="$(cat {cache})"\n'
        assert cache.read_text().count(".") == 2
        assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    failed = CliRunner().invoke(app, options)
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr.startswith("error: the issuer could not be asked")


def test_cached_token_replaces_an_open_file_by_a_private_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o644)
    cache_token(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new\n", 0o600)


class Unruly(BaseHTTPRequestHandler):
    """Answers what a provider should not."""

    answers: ClassVar[dict[str, tuple[int, dict[str, str], bytes]]] = {
        "/redirect": (302, {"location": "http://127.0.0.1:1/"}, b""),
        "/error": (500, {}, b"{}"),
        "/gzip": (200, {"content-encoding": "gzip"}, b"\x1f\x8b"),
        "/large": (200, {}, b" " * (600 * 1024)),
    }

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Say nothing."""

    def do_GET(self) -> None:
        status, headers, body = self.answers[self.path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True


@pytest.mark.parametrize(
    ("path", "sentence"), [("/redirect", "status 302"), ("/error", "status 500"), ("/gzip", "compressed"), ("/large", "too large")]
)
async def test_unruly_answers_are_refused(path: str, sentence: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Unruly)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        with pytest.raises(DependencyFailure, match=sentence):
            await http_fetch(f"http://127.0.0.1:{server.server_address[1]}{path}", None)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_issuer_over_https_is_trusted_by_its_authority_alone(tmp_path: Path) -> None:
    files = write_certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    with Issuer(host="127.0.0.1", tls=context) as issuer:
        keys = KeySetRefresher([IssuerSource(issuer.url, files.authority)])
        assert issuer.url.startswith("https://127.0.0.1:")
        assert len((await keys.keyset(issuer.url, None)).keys) == 3
        with pytest.raises(DependencyFailure, match="not available"):
            await KeySetRefresher([IssuerSource(issuer.url)]).keyset(issuer.url, None)


async def test_missing_file_of_authorities_is_told() -> None:
    with pytest.raises(DependencyFailure, match="authorities"):
        await http_fetch("https://127.0.0.1:1/", Path("/nowhere/ca.pem"))
