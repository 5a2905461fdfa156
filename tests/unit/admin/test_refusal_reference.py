"""The table of reasons is whole, and its page is the one in the documentation."""

from pathlib import Path

from querywarden.admin.refusal_reference import refusal_reference
from querywarden.errors import REASONS, ReasonCode

ROOT = Path(__file__).parents[3]


def test_every_reason_has_its_codes() -> None:
    assert set(ReasonCode) == set(REASONS)
    assert all(len(reason.sqlstate) == 5 and reason.meaning.endswith(".") for reason in REASONS.values())


def test_the_page_is_made_from_the_table() -> None:
    assert refusal_reference() == (ROOT / "docs" / "reference" / "refusals.md").read_text(encoding="utf-8")
