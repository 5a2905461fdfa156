"""Trees that are nearly right: whatever is changed in a real one, the answer comes soon and is no exception.

QUERYWARDEN_TREE_MUTATIONS sets how many there are of each version.
"""

from __future__ import annotations

import os
import random
import re
import time

import pytest
from tests.unit.postgresql.analysis.query_trees import recorded

from querywarden.model.data_flow import DataFlow, Unresolved, WantsBodies
from querywarden.postgresql.analysis.query_tree import data_flow_of

ROUNDS = int(os.environ.get("QUERYWARDEN_TREE_MUTATIONS", "400"))
SECONDS_MAX = 5.0
_WORD = re.compile(r"[(){}]|(?:[^ \n\t(){}\\]|\\.)+", re.DOTALL)
_NUMBERS = ("0", "1", "2", "3", "5", "6", "9", "-1", "12", "99999", "16384", str(1 << 40))
_SPECIAL = ("<>", "true", "false", "(", ")", "{", "}", "[", "]", ":args", '"', "\\")


def mutated(words: list[str], chance: random.Random) -> list[str]:
    """The words of a tree with one of them, or a few, changed."""
    words = list(words)
    for _ in range(chance.choice((1, 1, 1, 3))):
        here, there = chance.randrange(len(words)), chance.randrange(len(words))
        how = chance.randrange(6)
        if how == 0:
            del words[here]
        elif how == 1:
            words[here], words[there] = words[there], words[here]
        elif how == 2:
            words[here] = words[there]
        elif how == 3:
            words.insert(here, words[there])
        elif how == 4:
            numbers = [place for place, word in enumerate(words) if word.lstrip("-").isdigit()]
            words[chance.choice(numbers)] = chance.choice(_NUMBERS)
        else:
            words[here] = chance.choice(_SPECIAL)
    return words


@pytest.mark.parametrize("major", [15, 18])
def test_near_misses_raise_nothing_and_end(major: int) -> None:
    trees, bodies, catalogue = recorded(major)
    chance = random.Random(f"trees of {major}")
    originals = [_WORD.findall(tree) for tree in trees.values() if 400 < len(tree) < 30_000]
    resolved = 0
    for _ in range(ROUNDS):
        text = " ".join(mutated(chance.choice(originals), chance))
        started = time.perf_counter()
        found = data_flow_of([text], catalogue, bodies)
        assert time.perf_counter() - started < SECONDS_MAX
        assert isinstance(found, DataFlow | Unresolved | WantsBodies)
        resolved += isinstance(found, DataFlow)
    # Numbers may be changed without harm to the form; most other changes are seen.
    assert 0 < resolved < ROUNDS * 0.6


def test_bodies_that_are_nearly_right_raise_nothing() -> None:
    trees, bodies, catalogue = recorded(18)
    chance = random.Random("bodies")
    calls = [tree for text, tree in trees.items() if "people_rows" in text or "same(" in text]
    for _ in range(ROUNDS // 4):
        changed = {number: " ".join(mutated(_WORD.findall(tree), chance)) for number, tree in bodies.items()}
        assert isinstance(data_flow_of([chance.choice(calls)], catalogue, changed), DataFlow | Unresolved)
