"""Logins of real servers (PostgreSQL 15 and 18), recorded with a fixed nonce and replayed at every split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from querywarden.errors import PeerViolation
from querywarden.model.secret import Secret
from querywarden.postgresql.scram import ScramCache
from querywarden.postgresql.server_login import ServerLogin

TRANSCRIPTS = sorted(Path(__file__).with_name("transcripts").glob("login_*.json"))
CACHE = ScramCache()


def load(path: Path) -> dict:
    return json.loads(path.read_text())


def login_of(transcript: dict) -> ServerLogin:
    parameters = tuple((name.encode(), value.encode()) for name, value in transcript["parameters"])
    password = None if transcript["password"] is None else Secret(transcript["password"].encode())
    certificate = None if transcript["certificate"] is None else bytes.fromhex(transcript["certificate"])
    return ServerLogin(parameters, password, certificate, lambda size: bytes(range(size)), CACHE)


def replay(transcript: dict, chunks_of: int) -> tuple[ServerLogin, bytes, bytes]:
    login = login_of(transcript)
    replies, relayed = login.opening(), b""
    for side, data in transcript["steps"]:
        received = bytes.fromhex(data)
        if side == "server":
            for start in range(0, len(received), chunks_of):
                step = login.receive(received[start : start + chunks_of])
                replies += step.reply
                relayed += step.relay
    return login, replies, relayed


def sent_by(transcript: dict, side: str) -> bytes:
    return b"".join(bytes.fromhex(data) for of, data in transcript["steps"] if of == side)


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 9


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("chunks_of", [1, 2, 3, 5, 7, 100_000])
def test_a_recorded_login_goes_the_same_way_at_any_split(path: Path, chunks_of: int) -> None:
    transcript = load(path)
    login, replies, relayed = replay(transcript, chunks_of)
    assert replies == sent_by(transcript, "proxy")
    assert login.is_ready == transcript["is_ready"]
    assert (login.error is None) == transcript["is_ready"]
    assert relayed in sent_by(transcript, "server")
    assert login.take_leftover() == b""


@pytest.mark.parametrize("path", [path for path in TRANSCRIPTS if load(path)["is_ready"]], ids=lambda path: path.stem)
def test_a_recorded_login_reports_settings_and_key(path: Path) -> None:
    login, _, relayed = replay(load(path), 100_000)
    assert login.parameters["client_encoding"] == "UTF8"
    assert login.parameters["standard_conforming_strings"] == "on"
    assert relayed.count(b"S\0") >= len(login.parameters) >= 13
    assert login.key is not None
    assert len(login.key.key) == 4


@pytest.mark.parametrize("path", [path for path in TRANSCRIPTS if "scram" in path.stem], ids=lambda path: path.stem)
def test_a_changed_server_signature_is_found(path: Path) -> None:
    transcript = load(path)
    for step in transcript["steps"]:
        data = bytes.fromhex(step[1])
        at = data.find(b"v=")
        if step[0] == "server" and at > 0:
            flipped = b"A" if data[at + 4 : at + 5] != b"A" else b"B"
            step[1] = (data[: at + 4] + flipped + data[at + 5 :]).hex()
    with pytest.raises(PeerViolation, match="signature is wrong"):
        replay(transcript, 100_000)
