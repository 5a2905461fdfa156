"""Approvers as they are now: whether those who have agreed may still agree.

A vote holds who an approver was when it spoke. Since then it may have been blocked, or have lost the group that made it an approver:
what its last verified login or call said of its groups counts, and what was granted to it for a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from querywarden.approval.eligibility import may_approve_for
from querywarden.approval.quorum import Present, is_met
from querywarden.approval.request import ApprovalRequest, Party, Vote
from querywarden.model.decision import ApprovalTerms
from querywarden.runtime.known_access import KnownAccess
from querywarden.storage.control_store import ControlStore


class Approvers:
    """Looks approvers up. What it returns and `stands` block, since they may ask the store: call them in its threads."""

    def __init__(self, store: ControlStore, known: KnownAccess, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._known = known
        self._clock = clock

    def check(self, requester: Party, terms: ApprovalTerms) -> Present:
        """Who the approver of a vote is now; None when it may not agree any more, under these terms, to what a requester wants.

        Each is looked up once.
        """
        answers: dict[Party, Party | None] = {}

        def present(vote: Vote) -> Party | None:
            if vote.approver not in answers:
                answers[vote.approver] = self._present(requester, terms, vote.approver)
            return answers[vote.approver]

        return present

    def stands(self, request: ApprovalRequest, requester: Party, terms: ApprovalTerms) -> bool:
        """Whether an approval has its quorum under these terms, by those who may still agree. Raises: DependencyFailure."""
        return is_met(replace(request, terms=terms), self.check(requester, terms))

    def _present(self, requester: Party, terms: ApprovalTerms, approver: Party) -> Party | None:
        now = self._clock()
        if self._known.is_blocked(approver, now):
            return None
        seen = self._store.last_seen([(approver.subject, approver.issuer)])
        groups = seen.get((approver.subject, approver.issuer), approver.groups)
        present = replace(approver, groups=groups | self._known.granted_groups(approver, now))
        return present if may_approve_for(requester, terms, present) is None else None
