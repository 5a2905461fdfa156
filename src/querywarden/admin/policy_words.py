"""A policy's values in words: principals, databases, statements, windows, limits and terms as people say them."""

from __future__ import annotations

from collections.abc import Iterable

from querywarden.model.decision import Agreement, Allow, ApprovalTerms
from querywarden.policy.language import EVERYONE, AutomaticApproval, Group, Limit, MaskRule, Requestable, RevealRule, What, Where, Who
from querywarden.policy.windows import Window

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def told_who(who: Who) -> str:
    """The principals of a rule in words."""
    told = _told_group(who.included) or "everyone"
    if who.excluded != EVERYONE:
        told += f" but not {_told_group(who.excluded)}"
    if who.delegated is not None:
        told += ", on behalf of others" if who.delegated else ", for themselves"
    return told


def _told_group(group: Group) -> str:
    fields = (
        ("kind", sorted(kind.value for kind in group.kinds)),
        ("group", list(group.groups)),
        ("subject", list(group.subjects)),
    )
    return "; ".join(f"{name} {' or '.join(values)}" for name, values in fields if values)


def told_where(where: Where) -> str:
    """The databases of a rule in words."""
    parts = [" or ".join(where.databases), " or ".join(sorted(each.value for each in where.environments))]
    return ", ".join(part for part in parts if part) or "everywhere"


def told_what(what: What) -> str:
    """The statements of a rule in words."""
    fields: tuple[tuple[str, list[str]], ...] = (
        ("", sorted(each.value for each in what.verbs)),
        ("touching", list(what.relations)),
        ("reading", list(what.reads)),
        ("writing", list(what.writes)),
        ("touching the columns", list(what.columns)),
        ("calling", list(what.functions)),
        ("that is", sorted(each.value for each in what.properties)),
        ("unless it is", sorted(each.value for each in what.without)),
        ("of", list(what.object_kinds)),
    )
    told = "; ".join(f"{name} {' or '.join(values)}".strip() for name, values in fields if values)
    if what.rows_over is not None:
        told += ("; " if told else "any statement; ") + f"over {what.rows_over} rows"
    return told or "any statement"


def told_when(windows: tuple[Window, ...]) -> str:
    """The windows of a rule in words; nothing for a rule that always holds."""
    return " or ".join(map(str, windows))


def told_duration(seconds: float) -> str:
    """A duration in the largest unit that it is a whole number of."""
    for size, name in _UNITS:
        if seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {name}" + ("" if count == 1 else "s")
    return f"{seconds:g} seconds"


def told_terms(terms: ApprovalTerms) -> str:
    """Who has to agree, and for how long the question stands, in words."""
    told = f"{' and '.join(map(_told_agreement, terms.agreements))} within {told_duration(terms.seconds_max)}"
    return told if terms.mode is None else f"{told}, mode {terms.mode.value}"


def _told_agreement(agreement: Agreement) -> str:
    people = "one person" if agreement.quorum == 1 else f"{agreement.quorum} people"
    return f"{people} of {' or '.join(agreement.approvers)}"


def told_automatic(entry: AutomaticApproval) -> str:
    """An automatic approval in words."""
    told = f"what {' or '.join(sorted(entry.rules))} hold, {told_who(entry.who)}, {told_where(entry.where)}"
    if entry.rows_up_to is not None:
        told += f", up to {_counted(entry.rows_up_to, 'row')}"
    if entry.when:
        told += f", {told_when(entry.when)}"
    return told + (", with a standing approval of the exact statement" if entry.is_standing else "")


def told_requestable(entry: Requestable, terms: ApprovalTerms) -> str:
    """What may be asked for, in words."""
    things = [f"group {name}" for name in entry.groups] + [f"database {name}" for name in entry.databases]
    return f"{told_who(entry.who)}: {' or '.join(things)}, for up to {told_duration(entry.seconds_max)}, agreed to by {told_terms(terms)}"


def told_reveal(entry: RevealRule) -> str:
    """What is seen unmasked, in words."""
    what = "everything" if entry.everything else ", ".join([*sorted(each.value for each in entry.classes), *entry.columns])
    return f"{told_who(entry.who)}, {told_where(entry.where)}: {what}"


def told_mask(entry: MaskRule) -> str:
    """How something is masked for some, in words."""
    what = ", ".join([*sorted(each.value for each in entry.classes), *entry.columns])
    return f"{told_who(entry.who)}, {told_where(entry.where)}: {what} by {entry.operator}"


def told_limit(entry: Limit) -> str:
    """How much some may take, in words."""
    measures = [
        *_measures((entry.rows_max, entry.bytes_max, entry.seconds_max)),
        *([] if entry.sessions_max is None else [f"{_counted(entry.sessions_max, 'session')} at once"]),
        *(f"{budget.amount} {budget.metric.value} per {budget.period.value}" for budget in entry.budgets),
    ]
    return f"{told_who(entry.who)}, {told_where(entry.where)}: {', '.join(measures) or 'no limit'}"


def told_limits(allow: Allow) -> list[str]:
    """The limits of an allowed statement in words."""
    return list(_measures((allow.rows_max, allow.bytes_max, allow.seconds_max)))


def _measures(values: tuple[int | None, int | None, float | None]) -> Iterable[str]:
    rows, size, seconds = values
    if rows is not None:
        yield f"{_counted(rows, 'row')} per statement"
    if size is not None:
        yield f"{_counted(size, 'byte')} per statement"
    if seconds is not None:
        yield f"{told_duration(seconds)} per statement"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
