"""Approvers as they are now: whether those who have agreed may still agree.

A vote holds who an approver was when it spoke. Since then it may have been blocked, or have lost the group that made it an approver:
what its last verified login or call said of its groups counts, and what was granted to it for a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from querywarden.approval.eligibility import may_approve_for
from querywarden.approval.quorum import is_met
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

    def check(self, requester: Party, terms: ApprovalTerms) -> Callable[[Vote], bool]:
        """Whether the approver of a vote may still agree, under these terms, to what a requester wants. Each is looked up once."""
        answers: dict[Party, bool] = {}

        def is_valid(vote: Vote) -> bool:
            if vote.approver not in answers:
                answers[vote.approver] = self._may_agree(requester, terms, vote.approver)
            return answers[vote.approver]

        return is_valid

    def stands(self, request: ApprovalRequest, requester: Party, terms: ApprovalTerms) -> bool:
        """Whether an approval has its quorum under these terms, by those who may still agree. Raises: DependencyFailure."""
        is_valid = self.check(requester, terms)
        return is_met(replace(request, terms=terms), is_valid)

    def _may_agree(self, requester: Party, terms: ApprovalTerms, approver: Party) -> bool:
        now = self._clock()
        if self._known.is_blocked(approver, now):
            return False
        seen = self._store.last_seen([(approver.subject, approver.issuer)])
        groups = seen.get((approver.subject, approver.issuer), approver.groups)
        present = replace(approver, groups=groups | self._known.granted_groups(approver, now))
        return may_approve_for(requester, terms, present) is None
