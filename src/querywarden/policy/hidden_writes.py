"""Writes to hidden columns, and conditions that guess at them: what a session has to look at, or to count, of a statement it lets run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from querywarden.model.catalogue import Catalogue, Relation
from querywarden.model.data_flow import Assignment, ConditionKind, DataFlow
from querywarden.model.decision import Reveal
from querywarden.model.facts import StatementFacts, Verb
from querywarden.model.hidden_columns import HiddenColumns
from querywarden.policy.laundering import UNCUT_TEXT, parts_within

_WRITING = frozenset({Verb.INSERT, Verb.UPDATE, Verb.MERGE, Verb.COPY_IN, Verb.CALL})
FREE_VALUES = 20
"""Literals and parameters of a statement that are taken for those of its other conditions."""
_ESCAPED = "u&"
"""Names with escapes, which can't be looked for."""


def takes_client_values_for_hidden(facts: StatementFacts, catalogue: Catalogue, reveal: Reveal) -> bool:
    """Whether a statement stores values that the client may have chosen in columns that the principal may not see; errs towards yes."""
    if reveal.everything:
        return False
    hidden = HiddenColumns(catalogue, reveal)
    if facts.flow is not None and facts.verb is not Verb.CREATE:
        return any(each.takes_client_values and hidden.is_hidden(each.target) for each in facts.flow.assignments)
    return any(_may_take(part, catalogue, hidden) for part in parts_within(facts))


def _may_take(part: StatementFacts, catalogue: Catalogue, hidden: HiddenColumns) -> bool:
    if part.verb not in _WRITING:
        return False
    targets = None if part.assignments is None or part.verb is Verb.COPY_IN else {each.target for each in part.assignments}
    if targets is not None and None in targets:
        # Values without the names of their columns, as in INSERT INTO t VALUES (…).
        targets = None
    return any(
        (targets is None or column.name in targets) and hidden.is_hidden((relation.id, number))
        for relation in _written(part, catalogue)
        for number, column in relation.columns.items()
    )


def _written(part: StatementFacts, catalogue: Catalogue) -> Iterator[Relation]:
    for name in part.writes:
        yield from catalogue.candidates(name)


def guesses_of(facts: StatementFacts, catalogue: Catalogue, reveal: Reveal) -> int:
    """How many conditions of a statement ask whether a column that the principal may not see is equal to a value of the client's choice.

    An IN counts as one, whatever it lists; but what a statement with such a condition has of literals and parameters beyond a few counts as
    well, since each of them may be asked about. A value that is stored where no two rows may agree is a guess too: the server refuses one
    that is there. Without a data flow a statement counts for one guess if it may be one by a condition.
    """
    if reveal.everything:
        return 0
    hidden = HiddenColumns(catalogue, reveal)
    if facts.flow is not None:
        asked = _guesses_in(facts.flow, hidden)
        stored = sum(_meets_unique(assignment, catalogue, hidden) for assignment in facts.flow.assignments)
    else:
        asked, stored = int(_may_guess(facts, catalogue, hidden)), 0
    return stored + (asked + max(0, facts.normalised.count("?") - FREE_VALUES) if asked else 0)


def _guesses_in(flow: DataFlow, hidden: HiddenColumns) -> int:
    return sum(condition.kind is ConditionKind.EQUALITY and hidden.is_any_hidden(condition.sources) for condition in flow.conditions)


def _meets_unique(assignment: Assignment, catalogue: Catalogue, hidden: HiddenColumns) -> bool:
    """Whether a value of the client's choice is stored in a hidden column of a unique key."""
    found = hidden.column(assignment.target)
    if found is None or not assignment.takes_client_values or not hidden.is_hidden(assignment.target):
        return False
    relation, column = found
    return any(column.name in key for key in relation.keys.unique)


def _may_guess(facts: StatementFacts, catalogue: Catalogue, hidden: HiddenColumns) -> bool:
    """Whether a hidden column stands anywhere but among what is returned or written, as far as the text tells: in a condition then."""
    names = {
        column.name
        for relation in catalogue.touched(facts)
        for number, column in relation.columns.items()
        if column.name in facts.column_names and hidden.is_hidden((relation.id, number))
    }
    if not names:
        return False
    text = facts.normalised.casefold()
    if len(text) > UNCUT_TEXT or _ESCAPED in text:
        return True
    harmless: Counter[str] = Counter()
    for part in parts_within(facts):
        harmless.update(name for output in part.outputs or () if output.is_plain_column for name in output.columns)
        harmless.update(each.target for each in part.assignments or () if each.target is not None)
    return any(text.count(name.casefold()) > harmless[name] for name in names)
