"""The message in front: what is known of it while it waits to be admitted, and everything behind it waits too.

A hold is a state of this message, not a suspended frame: a cancel, a disconnect or a settled approval changes what is here, and the next
look at the message goes on from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from querywarden.gate.gate import Act
from querywarden.model.decision import ApprovalTerms
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.error_response import ErrorFields
from querywarden.postgresql.probe import Probe, Step
from querywarden.session.inputs import ApprovalOpened, ApprovalSettled, ApprovalUnavailable


class Withdrawal(StrEnum):
    """Why the wait for an approval has ended without an answer."""

    CANCELLED = "cancelled"
    CLIENT_GONE = "client_gone"
    SERVER_GONE = "server_gone"
    DRAINING = "draining"
    ACCESS_ENDED = "access_ended"
    POLICY_CHANGED = "policy_changed"
    TRANSACTION_OVER = "transaction_over"


class Asked(StrEnum):
    """What the hidden exchange under way is about."""

    NAMES = "names"
    """What names mean now."""
    TREE = "tree"
    """What the server understands of a statement."""
    BODIES = "bodies"
    """The same of the functions that it calls."""
    PLAN = "plan"
    """What its planner expects, or its settings."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What the server's planner expects of one statement. Secrets: the plan quotes the statement's literals."""

    rows: int | None = None
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class IdleLimit:
    """How long the server lets the session idle, and by which setting, while a statement is held."""

    seconds: float
    setting: str


@dataclass(slots=True, eq=False)
class OpenHold:
    """The question that is put to approvers for the message: what it rests on, and how far it has come.

    `acts` are those of the held statements, by their place in the text; `records` the numbers of their `decided` records. `terms` are
    those of all of them together.
    """

    ticket: int
    rule: str
    terms: ApprovalTerms
    policy_version: str
    sentence: str
    fails: bool
    acts: dict[int, Act]
    records: Sequence[int]
    is_asked: bool = False
    opened: ApprovalOpened | None = None
    settled: ApprovalSettled | None = None
    unavailable: ApprovalUnavailable | None = None

    @property
    def audit_id(self) -> str:
        """The id of the first `decided` record."""
        return next(iter(self.acts.values())).audit_id

    @property
    def is_open(self) -> bool:
        """Whether approvers have been asked, and the answer is still awaited."""
        return self.is_asked and self.settled is None and self.unavailable is None


@dataclass(slots=True, eq=False)
class Front:
    """The message in front.

    `is_in_segment`: the server has got a part of the client's segment already that no Sync of ours may end. `wants_flush`: what it has got
    may not be answered before a Flush.
    """

    is_in_segment: bool
    wants_flush: bool = False
    probe: Probe | None = None
    asked: Asked | None = None
    """What `probe` is about."""
    epoch: int = 0
    """The schema changes of all sessions when the server was asked what it understands."""
    attempts: int = 0
    tree: str | None = None
    """The tree of the statement whose functions the server is asked about. Secrets: it holds the statement's literals."""
    wanted: frozenset[int] = frozenset()
    bodies: Sequence[tuple[int, Step]] = ()
    """The functions whose bodies are wanted, and the steps that ask about those of them that can be asked about."""
    flowing: dict[int, StatementFacts] = field(default_factory=dict)
    """The facts of its statements with their data flow, by their place, once the server was asked."""
    unanswered: set[int] = field(default_factory=set)
    """Places of statements about which the server has said nothing that could be remembered."""
    wrong: ErrorFields | None = None
    """The error with which the server has rejected one of its statements when it was asked about it."""
    broken: ErrorFields | None = None
    """The cancel or time-out that a question has ended with, which was the statement's: the client gets it."""
    has_settings: bool = False
    idle_limit: IdleLimit | None = None
    name_space: str | None = None
    """What decides, besides its text, what the held statement means; None where the server couldn't say."""
    planned: dict[int, Planned] = field(default_factory=dict)
    hold: OpenHold | None = None
    withdrawn: Withdrawal | None = None
    """Set when the client has given up: the message is refused."""
