"""The name space: a name counts as settled only when nothing between could have made the server skip it."""

import pytest

from querywarden.model.decision import Allow
from querywarden.postgresql.prepared import NotSettled, Portal, Prepared, Registry


def prepared(text: bytes) -> Prepared:
    return Prepared(text, None, Allow("r"), ())


def test_a_pending_name_is_known_within_its_segment() -> None:
    registry = Registry()
    new = prepared(b"1")
    registry.define(False, b"s", new)
    assert new is registry.statement(b"s")


def test_a_pending_name_of_an_earlier_segment_is_not_settled() -> None:
    registry = Registry()
    registry.define(False, b"s", prepared(b"1"))
    registry.segment += 1
    with pytest.raises(NotSettled):
        registry.statement(b"s")


def test_a_discarded_definition_leaves_the_old_one() -> None:
    registry = Registry()
    old = prepared(b"1")
    registry.confirm(registry.define(False, b"s", old))
    definition = registry.define(False, b"s", prepared(b"2"))
    registry.discard(definition)
    assert old is registry.statement(b"s")


def test_a_confirmed_drop_removes_the_name() -> None:
    registry = Registry()
    registry.confirm(registry.define(False, b"s", prepared(b"1")))
    definition = registry.define(False, b"s", None)
    assert registry.statement(b"s") is None
    registry.confirm(definition)
    assert b"s" not in registry.statements


def test_the_end_of_a_transaction_keeps_held_cursors_only() -> None:
    registry = Registry()
    held, plain = Portal(None, is_held=True), Portal(None)
    registry.confirm(registry.define(True, b"h", held))
    registry.confirm(registry.define(True, b"p", plain))
    registry.end_transaction(is_committed=True)
    assert {b"h": held} == registry.portals


def test_statements_and_portals_have_names_of_their_own() -> None:
    registry = Registry()
    registry.define(True, b"x", Portal(None))
    assert registry.statement(b"x") is None
