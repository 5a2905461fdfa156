"""The control store over SQLite: what is stored comes back, names are unique while active, failures are DependencyFailure."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from querywarden.errors import ConfigurationError, DependencyFailure
from querywarden.identity.service_token import ServiceToken
from querywarden.model.principal import PrincipalKind
from querywarden.storage.control_store import ControlStore, DuplicateName, UnknownToken

NOW = 1_900_000_000
TOKEN = ServiceToken(
    id="AbCdEfGhIjK",
    name="shop-agent",
    owner="alice",
    kind=PrincipalKind.AGENT,
    groups=frozenset({"agents", "Zoë's"}),
    databases=frozenset({"shop"}),
    networks=("10.0.0.0/8", "2001:db8::/32"),
    created_at=NOW,
    expires_at=NOW + 60,
    secret_hash="ab" * 32,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "control.db"


@pytest.fixture
def store(path: Path) -> Iterator[ControlStore]:
    store = ControlStore(f"sqlite:///{path}")
    yield store
    store.close()


def test_token_comes_back_as_it_was(store: ControlStore) -> None:
    plain = replace(TOKEN, id="plain", name="plain", databases=None, networks=None, expires_at=None, groups=frozenset())
    narrow = replace(TOKEN, id="narrow", name="narrow", databases=frozenset(), networks=())
    for token in (TOKEN, plain, narrow):
        store.add_token(token)
        assert store.find_token(token.id) == token
        found = store.find_token(token.id)
        assert found is not None
        assert found.secret_hash == token.secret_hash


def test_unknown_id_is_none(store: ControlStore) -> None:
    assert store.find_token("nothing") is None
    assert store.find_token("' OR 1=1 --") is None


def test_list_is_in_order_of_creation(store: ControlStore) -> None:
    second, first = replace(TOKEN, created_at=NOW + 1), replace(TOKEN, id="z", name="z")
    store.add_token(second)
    store.add_token(first)
    assert store.list_tokens() == [first, second]
    assert store.find_tokens([first.id, "nothing"]) == {first.id: first}
    assert store.find_tokens([]) == {}


def test_name_is_unique_among_active_tokens(store: ControlStore) -> None:
    store.add_token(TOKEN)
    with pytest.raises(DuplicateName, match="already a service token named shop-agent"):
        store.add_token(replace(TOKEN, id="other"))
    store.revoke_token(TOKEN.id, NOW + 5)
    store.add_token(replace(TOKEN, id="other"))
    assert [token.id for token in store.list_tokens() if token.revoked_at is None] == ["other"]


def test_revocation_keeps_the_first_moment(store: ControlStore) -> None:
    store.add_token(TOKEN)
    assert store.revoke_token(TOKEN.id, NOW + 5).revoked_at == NOW + 5
    assert store.revoke_token(TOKEN.id, NOW + 9).revoked_at == NOW + 5
    assert store.find_token(TOKEN.id) == replace(TOKEN, revoked_at=NOW + 5)
    with pytest.raises(UnknownToken, match="no service token with the id nothing"):
        store.revoke_token("nothing", NOW)


def test_touch_notes_the_use_of_one_token(store: ControlStore) -> None:
    other = replace(TOKEN, id="other", name="other")
    store.add_token(TOKEN)
    store.add_token(other)
    store.touch_token(TOKEN.id, NOW + 7)
    assert store.find_token(TOKEN.id) == replace(TOKEN, last_used_at=NOW + 7)
    assert store.find_token("other") == other


def test_another_process_sees_a_revocation_at_once(store: ControlStore, path: Path) -> None:
    store.add_token(TOKEN)
    assert store.find_token(TOKEN.id) == TOKEN
    other = ControlStore(f"sqlite:///{path}")
    other.revoke_token(TOKEN.id, NOW)
    other.close()
    assert store.find_token(TOKEN.id) == replace(TOKEN, revoked_at=NOW)


def test_threads_may_share_a_store(store: ControlStore) -> None:
    tokens = [replace(TOKEN, id=f"t{i}", name=f"t{i}") for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.add_token, tokens))
        list(pool.map(lambda token: store.touch_token(token.id, NOW), tokens))
        assert set(pool.map(lambda token: store.find_token(token.id), tokens)) == {replace(t, last_used_at=NOW) for t in tokens}


def test_file_and_its_side_files_are_private(store: ControlStore, path: Path) -> None:
    store.add_token(TOKEN)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("control.db", "control.db-wal", "control.db-shm"), 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_open_file_is_closed_to_others(path: Path) -> None:
    path.parent.mkdir()
    path.touch(mode=0o644)
    ControlStore(f"sqlite:///{path}").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_secret_is_nowhere_in_the_file(store: ControlStore, path: Path) -> None:
    store.add_token(TOKEN)
    store.close()
    content = path.read_bytes()
    assert TOKEN.secret_hash.encode() in content
    assert b"qw_" not in content


def test_store_of_a_later_version_is_not_touched(store: ControlStore, path: Path) -> None:
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE querywarden_schema SET version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match="later version"):
        ControlStore(f"sqlite:///{path}")


def test_file_that_is_no_database_is_a_dependency_failure(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(DependencyFailure, match="control store does not answer: DatabaseError") as caught:
        ControlStore(f"sqlite:///{path}")
    assert caught.value.__suppress_context__


def test_lost_tables_are_a_dependency_failure_without_values(store: ControlStore, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE querywarden_service_tokens")
    connection.close()
    for act in (lambda: store.find_token("some-id"), lambda: store.add_token(TOKEN), store.list_tokens, lambda: store.touch_token("x", 1)):
        with pytest.raises(DependencyFailure) as caught:
            act()
        assert str(caught.value) == "the control store does not answer: OperationalError"
        assert caught.value.__suppress_context__


def test_folder_that_cannot_be_made_is_a_dependency_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DependencyFailure, match="can't be opened"):
        ControlStore(f"sqlite:///{tmp_path}/file/control.db")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("not a url", "not a database URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("oracle://u:hunter2@h/d", "oracle is not supported"),
    ],
)
def test_url_that_cannot_be_meant_is_a_configuration_error(url: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        ControlStore(url)
    assert "hunter2" not in str(caught.value)


def test_server_that_is_not_there_is_a_dependency_failure() -> None:
    with pytest.raises(DependencyFailure, match="does not answer: OperationalError") as caught:
        ControlStore("postgresql://someone:hunter2@127.0.0.1:1/control")
    assert "hunter2" not in str(caught.value)
