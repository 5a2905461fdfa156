"""What goes out: messages to the server that wait for their records, and bytes to the client that wait for theirs.

Both are order-preserving: nothing overtakes what waits before it. Nothing goes to the server without a basis.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Set
from dataclasses import dataclass

from querywarden.gate.gate import Act, GateEvent, Stage
from querywarden.gate.permit import Basis, Housekeeping
from querywarden.postgresql.expected import Expected
from querywarden.session.effects import SendToClient, SendToServer

NO_SEGMENT = -1
"""The segment of what belongs to none of the client's."""


@dataclass(slots=True, eq=False)
class ToServer:
    """A message for the server. `acts` are the statements in it, in order; `records` what has to be safe before it goes.

    `housekeeping` is its basis where it runs nothing; `entry` the answer that it will get; `on_refusal` makes the message that takes
    its place when one of its records can't be written.
    """

    data: bytes
    housekeeping: Housekeeping | None = None
    acts: tuple[Act, ...] = ()
    records: Collection[int] = ()
    entry: Expected | None = None
    on_refusal: Callable[[], bytes] | None = None
    segment: int = 0
    """The segment (Syncs and Queries admitted before it) that it belongs to."""


class ServerQueue:
    """Messages on their way to the server."""

    __slots__ = ("_kept", "_queue", "begun", "is_blocked", "waiting_bytes")

    def __init__(self) -> None:
        self._queue: deque[ToServer] = deque()
        self._kept = 0
        """Messages at the end of the queue that are kept back for one that isn't admitted yet."""
        self.begun = NO_SEGMENT
        """The latest segment of which the server has got something."""
        self.waiting_bytes = 0
        self.is_blocked = False
        """A cancel is under way: nothing new goes to the server until it has been answered."""

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, message: ToServer) -> None:
        """Queue a message behind the others."""
        self._queue.append(message)
        self.waiting_bytes += len(message.data)

    def keep_back(self, segment: int) -> bool:
        """Keep back what is queued of a segment, for a message of it that has to wait.

        Returns: whether that could be done: not when the server has got some of it, or would run some of it.
        """
        if self.begun == segment:
            return False
        kept = [message for message in self._queue if message.segment == segment]
        if any(message.acts and message.entry is not None and message.entry.executions for message in kept):
            return False
        self._kept = len(kept)
        return True

    def let_go(self) -> None:
        """What was kept back may go."""
        self._kept = 0

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is queued but what is kept back."""
        return len(self._queue) == self._kept

    @property
    def kept_entries(self) -> int:
        """How many of the messages kept back have an answer to come."""
        return sum(1 for message in list(self._queue)[len(self._queue) - self._kept :] if message.entry is not None)

    def add_before_kept(self, message: ToServer) -> None:
        """Queue a message of our own before those that are kept back."""
        self._queue.insert(len(self._queue) - self._kept, message)
        self.waiting_bytes += len(message.data)

    def release(self, unsafe: Set[int], failed: Set[int]) -> list[SendToServer]:
        """The messages at the front whose records are all safe; one with a failed record is replaced by its refusal."""
        effects: list[SendToServer] = []
        queue = self._queue
        while len(queue) > self._kept and not self.is_blocked:
            message = queue[0]
            records = message.records
            if records and not unsafe.isdisjoint(records):
                break
            queue.popleft()
            self.waiting_bytes -= len(message.data)
            self.begun = message.segment
            effects.append(SendToServer(*self._pass(message, bool(records) and not failed.isdisjoint(records))))
        return effects

    @staticmethod
    def _pass(message: ToServer, has_failed: bool) -> tuple[bytes, Basis]:
        if has_failed:
            for act in message.acts:
                act.advance(GateEvent.RECORD_FAILED)
            return (message.data if message.on_refusal is None else message.on_refusal()), Housekeeping.REFUSAL
        basis: Basis | None = message.housekeeping
        for act in message.acts:
            if act.advance(GateEvent.RECORD_SAFE) is Stage.RECORDED:
                basis = act.permit()
        if basis is None:
            raise AssertionError("a message to the server has no basis")
        return message.data, basis


class ClientQueue:
    """Bytes on their way to the client; a barrier keeps back what follows until its record is safe."""

    __slots__ = ("_parts", "released_bytes", "waiting_bytes")

    def __init__(self) -> None:
        self._parts: deque[bytes | int] = deque()
        self.waiting_bytes = 0
        self.released_bytes = 0

    def __len__(self) -> int:
        return len(self._parts)

    def send(self, data: bytes) -> None:
        """Queue bytes."""
        if data:
            self._parts.append(data)
            self.waiting_bytes += len(data)

    def hold_until_safe(self, number: int) -> None:
        """What is queued from now on waits for this record."""
        self._parts.append(number)

    def waits_for(self, number: int) -> bool:
        """Whether something is kept back for this record."""
        return number in self._parts

    def drop(self) -> None:
        """Forget what is kept back: the session ends without telling it."""
        self._parts.clear()
        self.waiting_bytes = 0

    def release(self, unsafe: Set[int]) -> list[SendToClient]:
        """The bytes up to the first barrier whose record isn't safe yet, as one effect."""
        found: list[bytes] = []
        parts = self._parts
        while parts:
            part = parts[0]
            if isinstance(part, int):
                if part in unsafe:
                    break
            else:
                found.append(part)
                self.waiting_bytes -= len(part)
            parts.popleft()
        if not found:
            return []
        data = found[0] if len(found) == 1 else b"".join(found)
        self.released_bytes += len(data)
        return [SendToClient(data)]
