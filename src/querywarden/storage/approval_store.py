"""Approval requests in the control store: opened, answered, used and settled, each step once however many proxies try it.

Every change names the states that it may happen in (the table of `approval.lifecycle`) and looks at the row under a lock, so of several who
try the same one, one wins. Secrets: the rows hold the requesters' literals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.engine import Connection

from querywarden.approval.eligibility import may_vote
from querywarden.approval.lifecycle import RequestEvent, after, states_before
from querywarden.approval.quorum import Present, as_voted, is_by_others, is_met
from querywarden.approval.request import ApprovalRequest, RequestState, Vote
from querywarden.model.decision import ApprovalTerms, WaitMode
from querywarden.storage.approval_rows import brief_of_row, request_of_row, requester_of, similarity_of, values_of_request, values_of_vote
from querywarden.storage.engine import StoreDatabase
from querywarden.storage.schema import INSTANCES, REQUESTS, VOTES
from querywarden.storage.upsert import insert_or_not

USES_MAX: Final = 1000
VALID_SECONDS_MAX: Final = 366 * 86_400
STANDING_SECONDS_DEFAULT: Final = 30 * 86_400
"""How long a standing approval stands whose approver doesn't say."""
SWEEP_MAX: Final = 500
"""Requests that one call expires or withdraws: the next call takes the rest."""
_IDS_MAX: Final = 500
_PROXY_GONE: Final = "proxy_gone"


class UnknownRequest(ValueError):
    """No approval request has this id."""


class DuplicateRequest(ValueError):
    """Another approval request has this id: try again with another."""


class TooManyPending(ValueError):
    """A principal has as many pending requests as it may have; nothing was opened. Its text is a public sentence."""


class VoteRefused(ValueError):
    """A vote that doesn't count, and nothing has changed; its text is a public sentence."""


@dataclass(frozen=True, slots=True)
class OpenedRequest:
    """A request as it was opened, or the one that asks the same already."""

    request: ApprovalRequest
    is_new: bool


class ApprovalStore(StoreDatabase):
    """The part of the control store that keeps approval requests and votes."""

    def open_request(self, request: ApprovalRequest, pending_max: int | None = None) -> OpenedRequest:
        """Open a pending request; where nobody waits, one with the same fingerprint that is still pending takes its place.

        `pending_max` is how many of its principal may be pending, with this one. Raises: DuplicateRequest, TooManyPending.
        """
        with self.writing() as connection:
            if pending_max is not None:
                _be_alone(connection, requester_of(request.requester))
            is_same = and_(REQUESTS.c.fingerprint == request.fingerprint, _is(RequestState.PENDING), REQUESTS.c.instance.is_(None))
            if request.instance is None:
                # What has expired and was not swept yet makes room; `expire` still hands it out.
                is_over = and_(is_same, REQUESTS.c.expires_at <= request.created_at)
                connection.execute(update(REQUESTS).where(is_over).values(_changes(RequestState.EXPIRED, settled_at=request.created_at)))
            if insert_or_not(connection, REQUESTS, values_of_request(request)):
                if pending_max is not None and _pending(connection, request) > pending_max:
                    # What was inserted goes with the transaction.
                    raise TooManyPending(
                        f"{pending_max} of your requests wait for an answer already, and nobody may have more than that at a time."
                    )
                return OpenedRequest(request, True)
            same = [] if request.instance is not None else _requests(connection, is_same)
            if not same:
                raise DuplicateRequest(f"there is already a request with the id {request.id}")
            return OpenedRequest(same[0], False)

    def request(self, request_id: str) -> ApprovalRequest | None:
        """The request of an id."""
        return self.requests([request_id]).get(request_id)

    def requests(self, request_ids: Collection[str]) -> dict[str, ApprovalRequest]:
        """The requests of several ids, by id."""
        ids = sorted(set(request_ids))
        with self.reading() as connection:
            found = [
                request
                for start in range(0, len(ids), _IDS_MAX)
                for request in _requests(connection, REQUESTS.c.id.in_(ids[start : start + _IDS_MAX]))
            ]
        return {request.id: request for request in found}

    def list_requests(self, state: RequestState | None = None, limit: int = 100) -> list[ApprovalRequest]:
        """Requests, of one state or of all, the newest first, and without the texts of their statements."""
        with self.reading() as connection:
            return _briefs(connection, REQUESTS.c.id.is_not(None) if state is None else _is(state), limit)

    def similar(self, request: ApprovalRequest, limit: int = 5) -> list[ApprovalRequest]:
        """Earlier requests of anybody for the same normalised text in the same database, or for the same access, without texts.

        The newest come first.
        """
        is_similar = and_(REQUESTS.c.similarity == similarity_of(request), REQUESTS.c.id != request.id)
        with self.reading() as connection:
            return _briefs(connection, is_similar, limit)

    def find_usable(
        self, fingerprint: str, now: float, present: Present = as_voted, terms: ApprovalTerms | None = None
    ) -> ApprovalRequest | None:
        """An approval of exactly this that has uses left, and by which enough have agreed; none that a waiting session is about to use.

        `terms` are those of today; None: its own.
        """
        is_free = or_(REQUESTS.c.instance.is_(None), REQUESTS.c.uses_made > 0)
        is_usable = and_(REQUESTS.c.fingerprint == fingerprint, *_usable(now), REQUESTS.c.uses_left > 0, is_free)
        with self.reading() as connection:
            found = _requests(connection, is_usable)
        return next((request for request in found if is_met(replace(request, terms=terms or request.terms), present)), None)

    def find_standing(
        self,
        statement_fingerprint: str,
        not_by: Collection[tuple[str, str]],
        now: float,
        present: Present = as_voted,
    ) -> ApprovalRequest | None:
        """A standing approval of this exact statement whose quorum is met without the votes of these identities."""
        is_same = and_(REQUESTS.c.statement_fingerprint == statement_fingerprint, REQUESTS.c.is_standing, *_usable(now))
        with self.reading() as connection:
            found = _requests(connection, is_same)
        return next((request for request in found if is_by_others(request, not_by, present)), None)

    def find_denied(self, fingerprint: str, now: float) -> ApprovalRequest | None:
        """A denial of exactly this that still stands: until the request would have expired."""
        is_denied = and_(REQUESTS.c.fingerprint == fingerprint, _is(RequestState.DENIED), REQUESTS.c.expires_at > int(now))
        with self.reading() as connection:
            return next(iter(_requests(connection, is_denied, 1)), None)

    def use(self, request_id: str, now: float, is_standing: bool = False) -> bool:
        """Use an approval once; whether it could be used. Whoever uses it as a standing one takes no use from its requester."""
        usable = and_(REQUESTS.c.id == request_id, *_usable(now))
        changes: dict[str, Any] = {"version": REQUESTS.c.version + 1, "uses_made": REQUESTS.c.uses_made + 1}
        if is_standing:
            usable = and_(usable, REQUESTS.c.is_standing)
        else:
            usable = and_(usable, REQUESTS.c.uses_left > 0)
            is_last = and_(REQUESTS.c.uses_left == 1, REQUESTS.c.is_standing.is_(False))
            used_up = after(RequestState.APPROVED, RequestEvent.USE_UP)
            changes["uses_left"] = REQUESTS.c.uses_left - 1
            changes["state"] = case((is_last, used_up.value), else_=after(RequestState.APPROVED, RequestEvent.USE).value)
        with self.writing() as connection:
            return connection.execute(update(REQUESTS).where(usable).values(changes)).rowcount == 1

    def vote(
        self,
        request_id: str,
        vote: Vote,
        now: float,
        present: Present = as_voted,
        uses: int = 1,
        valid_seconds: int | None = None,
        is_standing: bool = False,
    ) -> ApprovalRequest:
        """Cast a vote, and settle the request when it decides: a denial always does, an approval when the quorum is met.

        `present` says of the votes before this one who their approvers are now, and whether they may still approve. What several state is
        combined to what all of them state: the fewest uses, the shortest time, standing only where all say so.

        Returns: the request as it is now. Raises: UnknownRequest, VoteRefused.
        """
        if not 1 <= uses <= USES_MAX:
            raise VoteRefused(f"An approval is for 1 to {USES_MAX} uses.")
        if valid_seconds is not None and not 1 <= valid_seconds <= VALID_SECONDS_MAX:
            raise VoteRefused(f"An approval is for 1 to {VALID_SECONDS_MAX} seconds.")
        with self.writing() as connection:
            row = _locked(connection, REQUESTS.c.id == request_id)
            if row is None:
                raise UnknownRequest(f"there is no request with the id {request_id}")
            votes = _votes(connection, [request_id])
            request = request_of_row(row, votes)
            if (sentence := may_vote(request, vote.approver, now)) is not None:
                raise VoteRefused(sentence)
            stated = {"uses": uses, "valid_seconds": valid_seconds, "is_standing": is_standing}
            connection.execute(insert(VOTES).values(values_of_vote(request_id, len(votes), vote) | stated))
            voted = replace(request, votes=(*request.votes, vote))
            event = _event(voted, vote, present)
            changes = _changes(after(request.state, event))
            if event is RequestEvent.DENY:
                changes |= {"settled_at": int(now), "settled_by": vote.approver.label}
            elif event is RequestEvent.APPROVE:
                changes |= _granted(voted, _votes(connection, [request_id]), now)
            connection.execute(update(REQUESTS).where(REQUESTS.c.id == request_id).values(changes))
            return _requests(connection, REQUESTS.c.id == request_id)[0]

    def withdraw(self, request_id: str, cause: str, now: float) -> bool:
        """Withdraw a request that is pending, or approved and not used up; whether it was. `settled_by` becomes the cause."""
        return self._change_one(request_id, RequestEvent.WITHDRAW, settled_at=int(now), settled_by=cause)

    def reopen(self, request_id: str, now: float) -> bool:
        """Ask again for what was approved and can't be released, since who approved may not any more; whether it is pending now.

        Only for a session that still waits: the votes stay, and others may add theirs.
        """
        is_waited_for = and_(REQUESTS.c.instance.is_not(None), REQUESTS.c.uses_made == 0, REQUESTS.c.expires_at > int(now))
        asked_again = {"uses_left": 0, "valid_until": None, "is_standing": False, "settled_at": None, "settled_by": None}
        return self._change_one(request_id, RequestEvent.REOPEN, is_waited_for, **asked_again)

    def expire(self, now: float) -> list[ApprovalRequest]:
        """Expire what nobody answered in time, and approvals whose time is over; one caller gets each."""
        is_unanswered = and_(_is(RequestState.PENDING), REQUESTS.c.expires_at <= int(now))
        is_over = and_(_is(RequestState.APPROVED), REQUESTS.c.valid_until <= int(now))
        is_untold = and_(_is(RequestState.EXPIRED), REQUESTS.c.is_told.is_(False))
        changes = _changes(RequestState.EXPIRED, is_told=True, settled_at=int(now))
        return self._sweep(or_(is_unanswered, is_over, is_untold), changes)

    def abandoned(self, now: float, stale_seconds: float) -> list[ApprovalRequest]:
        """Withdraw the requests whose sessions were held by proxies that are silent; one caller gets each.

        A proxy says `beat` before it opens its first request, or its requests are taken for abandoned.
        """
        alive = select(INSTANCES.c.id).where(INSTANCES.c.beat_at > int(now - stale_seconds))
        is_orphan = and_(REQUESTS.c.instance.is_not(None), REQUESTS.c.instance.not_in(alive))
        return self._sweep(and_(is_orphan, _is_waited_for()), _withdrawn(now))

    def withdraw_of_instance(self, instance: str, now: float) -> list[ApprovalRequest]:
        """Withdraw the requests for which sessions of this proxy wait; one caller gets each."""
        return self._sweep(and_(REQUESTS.c.instance == instance, _is_waited_for()), _withdrawn(now))

    def delete_settled(self, before: float) -> int:
        """Delete requests, with their texts and parameters, that were settled before a time and stand for nothing any more."""
        is_over = and_(REQUESTS.c.settled_at < int(before), REQUESTS.c.expires_at < int(before))
        is_useless = or_(REQUESTS.c.valid_until.is_(None), REQUESTS.c.valid_until < int(before))
        with self.writing() as connection:
            settled = and_(is_over, is_useless, REQUESTS.c.state != RequestState.PENDING.value)
            return connection.execute(delete(REQUESTS).where(settled)).rowcount

    def _change_one(self, request_id: str, event: RequestEvent, *conditions: ColumnElement[bool], **values: Any) -> bool:
        states = states_before(event)
        changes = _changes(after(states[0], event), **values)
        is_possible = and_(REQUESTS.c.id == request_id, _is(*states), *conditions)
        with self.writing() as connection:
            return connection.execute(update(REQUESTS).where(is_possible).values(changes)).rowcount == 1

    def _sweep(self, condition: ColumnElement[bool], changes: dict[str, Any]) -> list[ApprovalRequest]:
        """Make the same change to all requests under a condition that it makes untrue; most of the time there is none."""
        with self.reading() as connection:
            if connection.execute(select(REQUESTS.c.id).where(condition).limit(1)).first() is None:
                return []
        with self.writing() as connection:
            # What another proxy sweeps or an approver answers at this moment is locked, and not ours.
            locked = select(REQUESTS.c.id).where(condition).order_by(REQUESTS.c.id).limit(SWEEP_MAX).with_for_update(skip_locked=True)
            ids = connection.execute(locked).scalars().all()
            swept = REQUESTS.c.id.in_(ids)
            connection.execute(update(REQUESTS).where(swept).values(changes))
            return _requests(connection, swept)


def _is(*states: RequestState) -> ColumnElement[bool]:
    return REQUESTS.c.state.in_([state.value for state in states])


def _is_waited_for() -> ColumnElement[bool]:
    """Whether a session waits for the answer, or has not yet come round to use it."""
    return and_(_is(*states_before(RequestEvent.WITHDRAW)), REQUESTS.c.uses_made == 0)


def _usable(now: float) -> tuple[ColumnElement[bool], ...]:
    return _is(RequestState.APPROVED), or_(REQUESTS.c.valid_until.is_(None), REQUESTS.c.valid_until > int(now))


def _changes(state: RequestState, **values: Any) -> dict[str, Any]:
    return {"state": state.value, "version": REQUESTS.c.version + 1} | values


def _withdrawn(now: float) -> dict[str, Any]:
    return _changes(RequestState.WITHDRAWN, settled_at=int(now), settled_by=_PROXY_GONE)


def _locked(connection: Connection, condition: ColumnElement[bool]) -> Row[Any] | None:
    return connection.execute(select(REQUESTS).where(condition).with_for_update()).one_or_none()


def _votes(connection: Connection, request_ids: Sequence[str]) -> Sequence[Row[Any]]:
    of_requests = select(VOTES).where(VOTES.c.request_id.in_(request_ids))
    return connection.execute(of_requests.order_by(VOTES.c.request_id, VOTES.c.number)).all()


def _requests(connection: Connection, condition: ColumnElement[bool], limit: int = SWEEP_MAX) -> list[ApprovalRequest]:
    return [request_of_row(row, votes) for row, votes in _found(connection, select(REQUESTS), condition, limit)]


def _briefs(connection: Connection, condition: ColumnElement[bool], limit: int) -> list[ApprovalRequest]:
    """Requests without the texts of their statements, which aren't read."""
    columns = select(*(column for column in REQUESTS.c if column is not REQUESTS.c.texts))
    return [brief_of_row(row, votes) for row, votes in _found(connection, columns, condition, limit)]


def _found(
    connection: Connection, columns: Select[Any], condition: ColumnElement[bool], limit: int
) -> list[tuple[Row[Any], list[Row[Any]]]]:
    """Rows of requests, the newest first, with those of their votes."""
    newest = (REQUESTS.c.created_at.desc(), REQUESTS.c.id)
    rows = connection.execute(columns.where(condition).order_by(*newest).limit(limit)).all()
    votes: dict[str, list[Row[Any]]] = {row.id: [] for row in rows}
    for vote in _votes(connection, list(votes)) if votes else ():
        votes[vote.request_id].append(vote)
    return [(row, votes[row.id]) for row in rows]


def _be_alone(connection: Connection, requester: str) -> None:
    """Until the transaction ends, nobody else opens requests of the same principal; on SQLite nobody else writes anyway."""
    if connection.dialect.name == "postgresql":
        key = int.from_bytes(bytes.fromhex(requester)[:8], "big", signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def _pending(connection: Connection, request: ApprovalRequest) -> int:
    """How many requests of a request's principal wait for an answer."""
    is_its = and_(REQUESTS.c.requester == requester_of(request.requester), _is(RequestState.PENDING))
    counted = select(func.count()).select_from(REQUESTS).where(is_its, REQUESTS.c.expires_at > request.created_at)
    return int(connection.execute(counted).scalar_one())


def _event(voted: ApprovalRequest, vote: Vote, present: Present) -> RequestEvent:
    """What a vote does to its request; its own approver was looked at just now."""
    if not vote.approves:
        return RequestEvent.DENY
    return RequestEvent.APPROVE if is_met(voted, lambda each: each.approver if each is vote else present(each)) else RequestEvent.AGREE


def _granted(request: ApprovalRequest, votes: Iterable[Row[Any]], now: float) -> dict[str, Any]:
    """What an approval allows: that on which all votes agree."""
    yes = [vote for vote in votes if vote.approves]
    uses = min(vote.uses for vote in yes)
    is_standing = all(vote.is_standing for vote in yes)
    seconds = min((vote.valid_seconds for vote in yes if vote.valid_seconds is not None), default=None)
    if seconds is not None:
        valid_until = int(now) + seconds
    elif is_standing:
        valid_until = int(now) + STANDING_SECONDS_DEFAULT
    elif request.mode is WaitMode.WAIT and uses == 1:
        # The session that waits uses it at once, and waits no longer than this.
        valid_until = request.expires_at
    else:
        valid_until = int(now) + request.terms.seconds_max
    return {
        "uses_left": uses,
        "valid_until": valid_until,
        "is_standing": is_standing,
        "settled_at": int(now),
        "settled_by": ", ".join(vote.approver.label for vote in request.votes if vote.approves),
    }
