"""A world for logins in which everything goes well: drives a `LoginPhase` and answers its effects at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Environment
from querywarden.model.secret import Secret
from querywarden.postgresql.error_response import ErrorFields, decode_fields, encode_notice
from querywarden.postgresql.framing import encode
from querywarden.postgresql.login import LOGIN_TIMER, OPENED_RECORD, LoginPhase, LoginSettings, LoginStage, Peer, ServerAccount
from querywarden.postgresql.messages.opening import StartupMessage
from querywarden.session import effects as fx
from querywarden.session import inputs

ANNA = Principal("anna", "https://idp", PrincipalKind.HUMAN, frozenset({"dev"}), "jti-1", expires_at=2_000_000_000)
SHOP = ServerAccount("shop", "shop_prod", "shop_app", Secret(b"server-canary"), Environment.STAGING)
TOKEN = b"token-canary"
PASSWORD = encode(b"p", TOKEN + b"\0")
AHEAD = b"Q\0\0\0\x06;\0"

OK = b"R\0\0\0\x08\0\0\0\0"
STATUSES = encode(b"S", b"client_encoding\0UTF8\0") + encode(b"S", b"standard_conforming_strings\0on\0")
KEY = encode(b"K", b"\0\0\0\x07abcd")
READY = b"Z\0\0\0\x05I"
NOTICE = encode_notice("NOTICE", "00000", "hello")


def settings(**changes: object) -> LoginSettings:
    return replace(LoginSettings({"shop": SHOP}, lambda principal, database: None, lambda size: b"\x01" * size), **changes)


def startup(*parameters: tuple[bytes, bytes], protocol: tuple[int, int] = (3, 0), database: bytes | None = b"shop") -> StartupMessage:
    named = () if database is None else ((b"database", database),)
    return StartupMessage(protocol, ((b"user", b"anna"), *named, *parameters))


class Story:
    """Drives a login and answers its effects at once, as a world would in which everything goes well."""

    def __init__(self, start: StartupMessage | None = None, with_settings: LoginSettings | None = None) -> None:
        self.login = LoginPhase(start or startup(), with_settings or settings(), Peer("192.0.2.1", 4711, "TLSv1.3"), "session-1")
        self.effects: list[fx.Effect] = []
        self.verdict: inputs.Input = inputs.CredentialVerified(ANNA)
        self.connection: inputs.Input = inputs.ServerConnected(None)
        self.record: Callable[[int], inputs.Input] = inputs.RecordSafe
        self.take(self.login.begin(0.0))

    def give(self, given: inputs.Input) -> Story:
        self.take(self.login.handle(given, 0.0))
        return self

    def client(self, data: bytes, step: int = 1_000_000) -> Story:
        for at in range(0, len(data), step):
            self.give(inputs.ClientBytes(memoryview(data[at : at + step])))
        return self

    def server(self, data: bytes, step: int = 1_000_000) -> Story:
        for at in range(0, len(data), step):
            self.give(inputs.ServerBytes(memoryview(data[at : at + step])))
        return self

    def take(self, effects: list[fx.Effect]) -> None:
        self.effects += effects
        for effect in effects:
            match effect:
                case fx.VerifyCredential():
                    self.give(self.verdict)
                case fx.ConnectServer():
                    self.give(self.connection)
                case fx.AppendRecord(number=int(number)):
                    self.give(self.record(number))

    def of(self, kind: type) -> list:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def to_client(self) -> bytes:
        return b"".join(effect.data for effect in self.of(fx.SendToClient))

    @property
    def to_server(self) -> bytes:
        return b"".join(effect.data for effect in self.of(fx.SendToServer))

    @property
    def records(self) -> list[str]:
        return [effect.type for effect in self.of(fx.AppendRecord)]

    @property
    def error(self) -> ErrorFields:
        errors = [effect.data for effect in self.of(fx.SendToClient) if effect.data[:1] == b"E"]
        assert len(errors) == 1
        return ErrorFields(decode_fields(errors[0][5:]))

    def assert_over(self) -> None:
        assert self.login.is_over
        assert self.login.established is None
        assert len(self.of(fx.CloseClient)) == 1
        assert fx.ClearTimer(LOGIN_TIMER) in self.effects
        before = len(self.effects)
        self.client(b"p\0\0\0\5\0").server(OK).give(inputs.RecordSafe(OPENED_RECORD)).give(inputs.ClientClosed())
        assert len(self.effects) == before


def at_stage(stage: LoginStage) -> Story:
    """A login that has come this far and waits."""
    story = Story()
    waiting = inputs.TimerFired("another")
    if stage is LoginStage.CREDENTIAL:
        return story
    if stage is LoginStage.VERIFYING:
        story.verdict = waiting
    if stage is LoginStage.CONNECTING:
        story.connection = waiting
    story.record = lambda number: waiting
    story.client(PASSWORD)
    if stage is LoginStage.OPENING:
        story.server(OK + STATUSES + KEY + READY)
    assert story.login.stage is stage
    return story


WAITING = [LoginStage.CREDENTIAL, LoginStage.VERIFYING, LoginStage.CONNECTING, LoginStage.SERVER, LoginStage.OPENING]
