"""The client's own settings of the proxy: what it does when a statement is held, and the reason that it gives for its work."""

from __future__ import annotations

from querywarden.model.decision import WaitMode
from querywarden.model.facts import StatementFacts, Verb
from querywarden.postgresql.session_state import SessionState

HOLD_SETTING = "querywarden.hold"
REASON_SETTING = "querywarden.reason"


def note_settings(state: SessionState, facts: StatementFacts) -> None:
    """Note what a statement that is admitted now says to the proxy by SET, RESET or DISCARD ALL."""
    for change in facts.settings:
        if change.name == HOLD_SETTING:
            state.hold_mode = state.hold_mode_at_start if change.value is None else WaitMode(change.value)
        elif change.name == REASON_SETTING:
            state.reason = state.reason_at_start if change.value is None else change.value
    resets_all = facts.verb is Verb.RESET and any(change.name == "all" for change in facts.settings)
    if resets_all or (facts.verb is Verb.DISCARD and facts.object_kind in (None, "all")):
        state.hold_mode, state.reason = state.hold_mode_at_start, state.reason_at_start
