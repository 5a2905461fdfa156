"""Cancel keys: what the proxy tells its client to name in a CancelRequest; never the server's own.

Spec: PostgreSQL 18, "Canceling Requests in Progress", "BackendKeyData".
"""

from __future__ import annotations

from collections.abc import Callable

from querywarden.postgresql.messages.backend import BackendKeyData

KEY_BYTES_3_0 = 4
KEY_BYTES_3_2 = 32


def draw_cancel_key(draw: Callable[[int], bytes], protocol: tuple[int, int]) -> BackendKeyData:
    """A fresh key for a session: 32 bytes for a client of protocol 3.2, else the 4 that older clients can hold.

    The process id is random too, positive (drivers read it as signed) and never 0.
    """
    process_id = int.from_bytes(draw(4), "big") & 0x7FFF_FFFF
    return BackendKeyData(process_id or 1, draw(KEY_BYTES_3_2 if protocol >= (3, 2) else KEY_BYTES_3_0))
