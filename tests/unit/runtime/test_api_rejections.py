"""Rejections at the API: each is a record like those of logins, up to so many a minute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from querywarden.runtime.api_rejections import RECORDS_PER_MINUTE_MAX, ApiRejections
from querywarden.session.effects import Durability


class Journal:
    """Keeps what would be written."""

    def __init__(self) -> None:
        self.records: list[tuple[str, Mapping[str, Any], Durability]] = []

    def append(self, type: str, body: Mapping[str, Any], durability: Durability, callback: Any, id: str | None = None) -> None:  # noqa: A002
        self.records.append((type, body, durability))


def test_a_rejection_is_recorded_with_its_door() -> None:
    journal = Journal()
    rejections = ApiRejections(journal)
    rejections.rejected("expired", "10.0.0.1", "shop")
    rejections.rejected("signature", "unix", "")

    assert [
        ("auth.failed", {"cause": "expired", "where": "api", "client": {"ip": "10.0.0.1"}, "claimed_database": "shop"}, Durability.WRITTEN),
        ("auth.failed", {"cause": "signature", "where": "api", "client": {"ip": "unix"}}, Durability.WRITTEN),
    ] == journal.records


def test_a_token_in_the_wrong_place_is_withheld() -> None:
    journal = Journal()
    ApiRejections(journal).rejected("expired", "10.0.0.1", "eyJhbGciOiJSUzI1NiJ9.canary.canary")

    assert "canary" not in str(journal.records)


def test_many_are_counted_and_not_written_one_by_one() -> None:
    now = [100.0]
    journal = Journal()
    rejections = ApiRejections(journal, lambda: now[0])
    for number in range(RECORDS_PER_MINUTE_MAX + 40):
        rejections.rejected("signature", f"10.0.0.{number}", "")
    assert RECORDS_PER_MINUTE_MAX == len(journal.records)
    now[0] += 61
    for _ in range(2):
        rejections.rejected("signature", "10.0.0.1", "")

    assert [None, 40, None] == [body.get("left_out") for _, body, _ in journal.records[-3:]]
