"""Claims to principals: places, groups, kinds and delegation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from querywarden.errors import IdentityRejected
from querywarden.identity.claims import Claims
from querywarden.identity.delegation import ACTORS_MAX
from querywarden.identity.mapping import GROUPS_MAX, ClaimMapping, parse_pointer, principal_of
from querywarden.identity.names import is_sane_name
from querywarden.identity.rejection import Cause
from querywarden.model.principal import Actor, Principal, PrincipalKind

ISSUER = "https://idp.example.com"


def principal(mapping: ClaimMapping | None = None, client: str | None = "cli", **values: Any) -> Principal:
    values = {"sub": "alice", **values}
    return principal_of(Claims(ISSUER, "alice", 2_000_000_000, "t-1", client, values), mapping or ClaimMapping())


def test_plain_token_becomes_a_human() -> None:
    expected = Principal("alice", ISSUER, PrincipalKind.HUMAN, frozenset({"dev"}), "t-1", "jwt", 2_000_000_000)
    assert principal(groups=["dev"]) == expected


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (["a", "b c"], {"a", "b c"}),
        ([], set()),
        ("a b  a", {"a", "b"}),
        ("", set()),
        (None, set()),
        (["/team/a"], {"/team/a"}),
    ],
)
def test_groups_are_a_list_or_a_text(value: Any, groups: set[str]) -> None:
    assert principal(groups=value).groups == groups


def test_missing_groups_and_overage_mean_no_groups() -> None:
    assert principal().groups == frozenset()
    assert principal(_claim_names={"groups": "src1"}, _claim_sources={"src1": {"endpoint": "https://graph"}}).groups == frozenset()
    assert principal(hasgroups=True).groups == frozenset()


@pytest.mark.parametrize(
    "value", [{"a": 1}, 7, True, ["a", 7], ["a", ["b"]], ["a\n"], [""], ["a" * 256], [f"g{i}" for i in range(GROUPS_MAX + 1)]]
)
def test_malformed_groups_are_rejected_not_guessed(value: Any) -> None:
    with pytest.raises(IdentityRejected, match=Cause.GROUPS):
        principal(groups=value)


def test_places_are_pointers_and_groups_get_their_prefix() -> None:
    mapping = ClaimMapping(
        subject=parse_pointer("/https:~1~1example.com~1user/1"),
        groups=(parse_pointer("/realm_access/roles"), parse_pointer("/groups")),
        groups_prefix="kc:",
    )
    claims: dict[str, Any] = {"https://example.com/user": ["x", "oid-7"], "realm_access": {"roles": ["r1"]}, "groups": ["g1"]}
    found = principal(mapping, **claims)
    assert (found.subject, found.groups) == ("oid-7", {"kc:r1", "kc:g1"})


@pytest.mark.parametrize("text", ["", "sub", "/", "realm_access.roles"])
def test_what_is_no_pointer_is_an_error_with_a_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="write /"):
        parse_pointer(text)


@pytest.mark.parametrize("pointer", ["/oid", "/sub/x", "/list/1", "/list/-", "/list/01x", "/list/\u0661"])
def test_mapped_subject_must_be_there(pointer: str) -> None:
    with pytest.raises(IdentityRejected, match=Cause.SUBJECT):
        principal(ClaimMapping(subject=parse_pointer(pointer)), list=["only"])


def test_mapped_subject_is_checked_like_any_name() -> None:
    with pytest.raises(IdentityRejected, match=Cause.SUBJECT):
        principal(ClaimMapping(subject=("name",)), name="a\x1b[31m")


KIND = ClaimMapping(kind=("kind",), agent_clients=frozenset({"agent-app"}))


@pytest.mark.parametrize(
    ("mapping", "client", "claims", "kind"),
    [
        (ClaimMapping(), "cli", {}, PrincipalKind.HUMAN),
        (ClaimMapping(), None, {}, PrincipalKind.HUMAN),
        (ClaimMapping(), "alice", {}, PrincipalKind.SERVICE),
        (ClaimMapping(), "cli", {"kind": "agent"}, PrincipalKind.HUMAN),
        (KIND, "cli", {"kind": "agent"}, PrincipalKind.AGENT),
        (KIND, "cli", {"kind": "user"}, PrincipalKind.HUMAN),
        (KIND, "cli", {"kind": "service"}, PrincipalKind.SERVICE),
        (KIND, "cli", {"kind": "robot"}, PrincipalKind.AGENT),
        (KIND, "cli", {"kind": ["human"]}, PrincipalKind.AGENT),
        (KIND, "cli", {}, PrincipalKind.HUMAN),
        (KIND, "agent-app", {"kind": "human"}, PrincipalKind.AGENT),
        (replace(KIND, kinds={"robot": PrincipalKind.SERVICE}), "cli", {"kind": "robot"}, PrincipalKind.SERVICE),
        (KIND, "cli", {"kind": "human", "act": {"sub": "bot"}}, PrincipalKind.AGENT),
    ],
)
def test_kind(mapping: ClaimMapping, client: str | None, claims: dict[str, Any], kind: PrincipalKind) -> None:
    assert principal(mapping, client, **claims).kind is kind


def test_delegation_chain_has_the_current_actor_first() -> None:
    found = principal(act={"sub": "bot", "act": {"sub": "gateway", "iss": "https://other"}})
    assert found.actors == (Actor("bot", ISSUER), Actor("gateway", "https://other"))
    assert found.label == "bot for alice"


def nested(depth: int) -> dict[str, Any]:
    return {"sub": f"a{depth}"} if depth == 1 else {"sub": f"a{depth}", "act": nested(depth - 1)}


def test_delegation_depth_is_bounded() -> None:
    assert len(principal(act=nested(ACTORS_MAX)).actors) == ACTORS_MAX
    with pytest.raises(IdentityRejected, match=Cause.DELEGATION):
        principal(act=nested(ACTORS_MAX + 1))


@pytest.mark.parametrize(
    "act", [None, {}, "bot", ["bot"], {"sub": 1}, {"sub": ""}, {"sub": "a\n"}, {"sub": "a", "iss": 1}, {"sub": "a", "act": 1}]
)
def test_malformed_delegation_is_rejected_not_ignored(act: Any) -> None:
    with pytest.raises(IdentityRejected, match=Cause.DELEGATION):
        principal(act=act)


@pytest.mark.parametrize("name", ["a", "a b", "Zoë", "日本", "a@b.c", "👩", "x" * 255])
def test_sane_names(name: str) -> None:
    assert is_sane_name(name)


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a\t", "a\x7f", "a\u2028b", "a\u00a0b", "\ufeffa", "a\u202eb", "x" * 256, "\ue000", None, 1, b"a"]
)
def test_insane_names(name: object) -> None:
    assert not is_sane_name(name)
