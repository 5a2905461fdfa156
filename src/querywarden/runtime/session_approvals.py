"""The approvals that one session waits for: its requests by ticket, handed to the desk and taken back."""

from __future__ import annotations

from collections.abc import Callable

from querywarden.runtime.services import ApprovalAnswer, Approvals, Withdraw
from querywarden.session.effects import RequestApproval, WithdrawApproval
from querywarden.session.inputs import ApprovalOpened, Input

SESSION_OVER = "client_gone"


class SessionApprovals:
    """The requests of one session. `deliver` hands the session its answers."""

    __slots__ = ("_deliver", "_desk", "_waiting")

    def __init__(self, desk: Approvals, deliver: Callable[[Input], None]) -> None:
        self._desk = desk
        self._deliver = deliver
        self._waiting: dict[int, Withdraw] = {}

    def request(self, effect: RequestApproval) -> None:
        """Ask the desk; it answers in a later turn of the loop."""
        ticket = effect.ticket

        def answered(answer: ApprovalAnswer) -> None:
            if ticket not in self._waiting:
                return  # It was withdrawn meanwhile; the desk hears of that too.
            if not isinstance(answer, ApprovalOpened):
                del self._waiting[ticket]
            self._deliver(answer)

        self._waiting[ticket] = self._desk.open(ticket, effect.held, answered)

    def withdraw(self, effect: WithdrawApproval) -> None:
        """The session does not wait any more for one of them."""
        withdraw = self._waiting.pop(effect.ticket, None)
        if withdraw is not None:
            withdraw(effect.cause)

    def end(self) -> None:
        """The session is over, whatever it has said itself: nothing of it waits any more."""
        while self._waiting:
            _, withdraw = self._waiting.popitem()
            withdraw(SESSION_OVER)
