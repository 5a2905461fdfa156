"""Key sets kept fresh: rotation, single flight, bounded rates, stale keys on errors. Time is a number that the test moves."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from querywarden.demo.issuer_keys import SigningKey
from querywarden.errors import DependencyFailure
from querywarden.runtime.issuer_http import IssuerSource
from querywarden.runtime.keyset_refresh import KeySetRefresher, RefreshTimes

ISSUER = "https://idp.example.com/tenant"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
KEYS = "https://keys.example.com/jwks"
TIMES = RefreshTimes()


class Provider:
    """An identity provider that the test turns off, rotates and counts."""

    def __init__(self) -> None:
        self.kids = ["k1"]
        self.now = 1000.0
        self.max_age: float | None = 600.0
        self.is_down = False
        self.discovery: dict[str, Any] = {"issuer": ISSUER, "jwks_uri": KEYS}
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None
        self._made = {f"k{i}": SigningKey.generate(f"k{i}", "ES256").jwk() for i in range(1, 4)}

    async def fetch(self, address: str, ca: Path | None) -> tuple[bytes, float | None]:
        self.asked.append(address)
        if self.gate is not None:
            await self.gate.wait()
        if self.is_down:
            raise DependencyFailure("the issuer could not be asked: ConnectError")
        if address == DISCOVERY:
            return json.dumps(self.discovery).encode(), None
        assert address == KEYS
        return json.dumps({"keys": [self._made[kid] for kid in self.kids]}).encode(), self.max_age

    def refresher(self) -> KeySetRefresher:
        return KeySetRefresher([IssuerSource(ISSUER)], fetch=self.fetch, clock=lambda: self.now, jitter=lambda: 0.0)

    @property
    def key_fetches(self) -> int:
        return self.asked.count(KEYS)


@pytest.fixture
def provider() -> Provider:
    return Provider()


async def kids(refresher: KeySetRefresher, kid: str | None) -> list[str | None]:
    return [key.kid for key in (await refresher.keyset(ISSUER, kid)).keys]


async def test_first_use_discovers_and_fetches_and_the_rest_is_cached(provider: Provider) -> None:
    refresher = provider.refresher()
    assert await kids(refresher, "k1") == ["k1"]
    assert await kids(refresher, None) == ["k1"]
    assert provider.asked == [DISCOVERY, KEYS]


async def test_unknown_key_causes_one_fetch_after_the_interval(provider: Provider) -> None:
    refresher = provider.refresher()
    await kids(refresher, "k1")
    provider.kids = ["k2", "k1"]
    provider.now += TIMES.unknown_key_interval - 0.1
    assert await kids(refresher, "k2") == ["k1"]
    assert provider.key_fetches == 1
    provider.now += 0.1
    assert await kids(refresher, "k2") == ["k2", "k1"]
    assert provider.key_fetches == 2


async def test_made_up_key_ids_fetch_at_a_bounded_rate(provider: Provider) -> None:
    refresher = provider.refresher()
    await kids(refresher, "k1")
    for i in range(600):
        provider.now += 0.5
        await kids(refresher, f"made-up-{i}")
    assert provider.key_fetches == 1 + 300 // TIMES.unknown_key_interval


async def test_many_logins_at_once_share_one_fetch(provider: Provider) -> None:
    provider.gate = asyncio.Event()
    refresher = provider.refresher()
    logins = [asyncio.create_task(kids(refresher, f"k{i % 3}")) for i in range(50)]
    await asyncio.sleep(0)
    provider.gate.set()
    assert await asyncio.gather(*logins) == [["k1"]] * 50
    assert provider.asked == [DISCOVERY, KEYS]


async def test_a_client_that_leaves_does_not_cancel_the_fetch(provider: Provider) -> None:
    provider.gate = asyncio.Event()
    refresher = provider.refresher()
    first, second = (asyncio.create_task(kids(refresher, "k1")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    provider.gate.set()
    assert await second == ["k1"]
    assert provider.asked == [DISCOVERY, KEYS]


async def test_withdrawn_key_is_gone_after_the_renewal(provider: Provider) -> None:
    refresher = provider.refresher()
    await refresher.renew_due()
    provider.kids = ["k2"]
    provider.now += 600.0 * TIMES.renewal
    await refresher.renew_due()
    assert await kids(refresher, "k2") == ["k2"]
    assert await kids(refresher, "k1") == ["k2"]


@pytest.mark.parametrize(
    ("max_age", "fresh"),
    [(600.0, 600.0), (0.0, TIMES.fresh_min), (5.0, TIMES.fresh_min), (1e9, TIMES.fresh_max), (None, TIMES.fresh_default)],
)
async def test_max_age_is_respected_within_bounds(provider: Provider, max_age: float | None, fresh: float) -> None:
    provider.max_age = max_age
    assert await provider.refresher().renew_due() == pytest.approx(fresh * TIMES.renewal)


async def test_renewal_is_jittered_towards_earlier(provider: Provider) -> None:
    refresher = KeySetRefresher([IssuerSource(ISSUER)], fetch=provider.fetch, clock=lambda: provider.now, jitter=lambda: 1.0)
    assert await refresher.renew_due() == pytest.approx(600 * TIMES.renewal * 0.9)


async def test_old_keys_serve_while_the_provider_is_down_up_to_the_hard_age(provider: Provider) -> None:
    refresher = provider.refresher()
    await kids(refresher, "k1")
    provider.is_down = True
    for _ in range(24):
        await refresher.renew_due()
        assert await kids(refresher, "k1") == ["k1"]
        provider.now += 3600.0
    provider.now += 1.0
    with pytest.raises(DependencyFailure, match="keys of the issuer are not available"):
        await kids(refresher, "k1")
    provider.is_down = False
    provider.now += TIMES.retry_max
    assert await kids(refresher, "k1") == ["k1"]


async def test_without_keys_attempts_back_off(provider: Provider) -> None:
    provider.is_down = True
    refresher = provider.refresher()
    attempts = []
    for _ in range(1200):
        before = len(provider.asked)
        with pytest.raises(DependencyFailure):
            await refresher.keyset(ISSUER, "k1")
        if len(provider.asked) > before:
            attempts.append(provider.now - 1000.0)
        provider.now += 0.1
    assert [round(b - a) for a, b in itertools.pairwise(attempts)] == [1, 2, 4, 8, 16, 30, 30]


async def test_background_renewal_retries_after_a_failure(provider: Provider) -> None:
    provider.is_down = True
    refresher = provider.refresher()
    assert await refresher.renew_due() == pytest.approx(TIMES.retry_min)
    provider.is_down = False
    provider.now += TIMES.retry_min
    await refresher.renew_due()
    fetched = provider.key_fetches
    assert await kids(refresher, "k1") == ["k1"]
    assert provider.key_fetches == fetched


async def test_start_fetches_without_any_login_and_stop_ends_it(provider: Provider) -> None:
    refresher = provider.refresher()
    await refresher.start()
    while provider.key_fetches == 0:
        await asyncio.sleep(0)
    await refresher.stop()
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("keyset")] == []


async def test_stop_ends_a_fetch_under_way(provider: Provider) -> None:
    provider.gate = asyncio.Event()
    refresher = provider.refresher()
    await refresher.start()
    while not provider.asked:
        await asyncio.sleep(0)
    await refresher.stop()
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("keyset")] == []


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": ISSUER + "/", "jwks_uri": KEYS},
        {"issuer": "https://evil.example", "jwks_uri": KEYS},
        {"jwks_uri": KEYS},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": 7},
        {"issuer": ISSUER, "jwks_uri": "http://keys.example.com/jwks"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
        {"issuer": ISSUER, "jwks_uri": "https://user:pw@keys.example.com/jwks"},
        {"issuer": ISSUER, "jwks_uri": "https://[bad/jwks"},
    ],
)
async def test_discovery_that_is_not_ours_or_not_safe_is_refused(provider: Provider, discovery: dict[str, Any]) -> None:
    provider.discovery = discovery
    with pytest.raises(DependencyFailure):
        await provider.refresher().keyset(ISSUER, "k1")
    assert provider.asked == [DISCOVERY]


async def test_issuer_in_clear_is_refused_before_anything_is_sent(provider: Provider) -> None:
    refresher = KeySetRefresher([IssuerSource("http://idp.example.com")], fetch=provider.fetch, clock=lambda: provider.now)
    with pytest.raises(DependencyFailure):
        await refresher.keyset("http://idp.example.com", None)
    assert provider.asked == []


async def test_moved_key_set_is_found_again(provider: Provider) -> None:
    refresher = provider.refresher()
    await kids(refresher, "k1")
    provider.is_down = True
    provider.now += 600
    await refresher.renew_due()
    provider.is_down = False
    provider.now += 30
    await refresher.renew_due()
    assert provider.asked[-2:] == [DISCOVERY, KEYS]


async def test_unknown_issuer_is_not_asked(provider: Provider) -> None:
    with pytest.raises(DependencyFailure, match="not configured"):
        await provider.refresher().keyset("https://evil.example", "k1")
    assert provider.asked == []


async def test_unforeseen_failure_is_borne_like_any_other(provider: Provider) -> None:
    refresher = provider.refresher()
    await kids(refresher, "k1")
    provider.discovery = {}
    provider.kids = ["no such key"]
    provider.now += 600
    assert await refresher.renew_due() == pytest.approx(TIMES.retry_min)
    assert await kids(refresher, "k1") == ["k1"]


async def test_logins_with_known_keys_never_fetch(provider: Provider) -> None:
    refresher = provider.refresher()
    for _ in range(20):
        await kids(refresher, "k1")
        await kids(refresher, None)
        provider.now += 1000.0
    assert provider.key_fetches == 1
