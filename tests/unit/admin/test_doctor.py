"""The doctor's checks of files and certificates, and the catalogue's entries."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from querywarden.admin import doctor
from querywarden.admin.catalogue import entries
from querywarden.admin.doctor import Check, Result, examine
from querywarden.config.loading import load_config
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation

TEXT = """\
listeners: [{port: 6432, tls: {certificate: cert.pem, key: key.pem}}]
databases:
  shop: {server: {host: 127.0.0.1, port: 1, database: shop, role: shop_app, password_file: pw}}
policy: {file: policy.yaml}
"""


async def checks_of(folder: Path) -> dict[str, Check]:
    (folder / "querywarden.yaml").write_text(TEXT)
    return {check.name: check async for check in examine(load_config(folder / "querywarden.yaml"))}


async def test_what_is_missing_fails_and_has_a_remedy(tmp_path: Path) -> None:
    checks = await checks_of(tmp_path)
    for name in ("listener 127.0.0.1:6432", "password file of shop", "policy", "server of shop"):
        assert checks[name].result is Result.FAIL
        assert checks[name].remedy
    assert checks["masking key"].result is Result.OK


async def test_files_that_others_can_read_fail(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("secret")
    (tmp_path / "pw").chmod(0o644)
    check = (await checks_of(tmp_path))["password file of shop"]
    assert (check.result, check.remedy) == (Result.FAIL, f"chmod 600 {tmp_path / 'pw'}")
    (tmp_path / "pw").chmod(0o600)
    assert (await checks_of(tmp_path))["password file of shop"].result is Result.OK


@pytest.mark.parametrize(("free", "expected"), [(1 << 20, Result.FAIL), (1 << 28, Result.WARN), (1 << 34, Result.OK)])
async def test_free_space_for_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, expected: Result) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    assert (await checks_of(tmp_path))["log directory"].result is expected


async def test_a_broken_policy_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\nrules: [{id: x, effect: dney}]\n")
    check = (await checks_of(tmp_path))["policy"]
    assert check.result is Result.FAIL
    assert "policy.yaml:2" in check.finding


def test_entries_show_the_classified_columns_of_own_relations() -> None:
    found = Classification(DataClass.EMAIL, "name", "email")
    built_in = Classification(DataClass.SECRET, "built_in", "shows secrets")
    users = {2: Column(2, "email", "text", found), 1: Column(1, "id", "integer")}
    roles = {1: Column(1, "rolname", "name"), 2: Column(2, "rolpassword", "text", built_in)}
    relations = {1: Relation(1, "public", "users", "table", users), 2: Relation(2, "pg_catalog", "pg_authid", "table", roles)}
    catalogue = Catalogue("1", relations)
    shown = [(entry.relation, entry.column, entry.data_class) for entry in entries(catalogue, everything=False)]
    assert shown == [("public.users", "email", "email")]
    everything = [(entry.column, entry.data_class) for entry in entries(catalogue, everything=True)]
    assert everything == [("rolpassword", "secret"), ("id", None), ("email", "email")]
