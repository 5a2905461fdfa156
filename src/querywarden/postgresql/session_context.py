"""What a session is given of the world: settings and pure functions, no effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from querywarden.masking.key import MaskingKey
from querywarden.masking.write_back import MaskedValues
from querywarden.model.decision import WaitMode
from querywarden.model.facts import Analysis
from querywarden.model.limits import Limits
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy.language import Policy
from querywarden.postgresql.data_flows import DataFlows
from querywarden.postgresql.login import Established, LoginSettings, Peer
from querywarden.session.budget import BudgetLeft
from querywarden.session.effects import Durability


def _no_budget(now: float) -> BudgetLeft | None:
    return None


def _no_memory(principal: Principal, is_to_be_made: bool) -> MaskedValues | None:
    return None


@dataclass(frozen=True, slots=True)
class RecordDurability:
    """How far the records of a statement must have come, by what it does."""

    reads: Durability = Durability.WRITTEN
    writes: Durability = Durability.DURABLE
    refusals: Durability = Durability.DURABLE


@dataclass(frozen=True, slots=True)
class StatementContext:
    """What the statement phase of a session needs.

    `draw` gives so many random bytes; `commit` a salted commitment (record id, label, data); `analyse` the facts of a text that is
    small enough for the event loop; `access_ended` a public sentence once the principal's access has expired or was revoked.
    """

    session_id: str
    database: Database
    policy: Callable[[], Policy]
    analyse: Callable[[bytes], Analysis]
    commit: Callable[[str, str, bytes], str]
    draw: Callable[[int], bytes]
    masking_key: MaskingKey
    access_ended: Callable[[Principal, float], str | None]
    limits: Limits = field(default_factory=Limits)
    durability: RecordDurability = field(default_factory=RecordDurability)
    hold_mode: WaitMode = WaitMode.WAIT
    """What a held statement's client does where neither the rule nor the client says it."""
    agent_hold_mode: WaitMode = WaitMode.FAIL
    """The same for agents."""
    notice_seconds: float = 30.0
    """How often a waiting client is told again."""
    flows: DataFlows = field(default_factory=DataFlows)
    """What the server has said of texts, shared by the sessions of the database."""
    remembered: Callable[[Principal, bool], MaskedValues | None] = _no_memory
    """The masks that a principal has lately been shown in the database; True makes a memory where there is none."""
    budget: Callable[[float], BudgetLeft | None] = _no_budget
    """What the principal's budgets have left at a time; None where it has none."""


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What a session needs from its first byte on; `statements` makes the context of its statement phase once it is established."""

    session_id: str
    peer: Peer
    login: LoginSettings
    statements: Callable[[Established], StatementContext]
