"""Cancel keys."""

from __future__ import annotations

import pytest

from querywarden.postgresql.cancel_key import draw_cancel_key


@pytest.mark.parametrize(("protocol", "size"), [((3, 0), 4), ((3, 1), 4), ((3, 2), 32)])
def test_a_key_is_as_long_as_the_protocol_can_hold(protocol: tuple[int, int], size: int) -> None:
    key = draw_cancel_key(lambda count: b"\xff" * count, protocol)
    assert key.process_id == 0x7FFFFFFF
    assert key.key == b"\xff" * size


def test_a_process_id_is_never_zero() -> None:
    assert draw_cancel_key(lambda count: b"\x80" + bytes(count - 1), (3, 0)).process_id == 1
