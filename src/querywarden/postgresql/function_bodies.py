"""Function bodies: how the server is asked what it understands of the body of a function in SQL.

A body is text that means something only when the function is called, by the name space of that moment; it is asked about like a statement,
with the function's arguments as its parameters. Arguments that it calls by name are written as `$n` first, where no column can be meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from querywarden.model.catalogue import Catalogue, SqlBody
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.analysis.classify import analyse
from querywarden.postgresql.analysis.parse import tokens_of
from querywarden.postgresql.probe import Step

BODIES_MAX = 32
"""Functions of one statement that are asked about; with more they are not followed."""
BODY_BYTES_MAX = 16 * 1024
_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
_IDENTIFIERS = frozenset({"IDENT"})


def body_steps(catalogue: Catalogue, functions: Sequence[int]) -> list[tuple[int, Step]]:
    """The steps that ask about the bodies of functions, each with the function's id; none where there are too many."""
    steps = [(function, step) for function in functions for step in _steps(catalogue, function)]
    return steps if len(functions) <= BODIES_MAX else []


def _steps(catalogue: Catalogue, function: int) -> Iterator[Step]:
    known = catalogue.functions.get(function)
    body = None if known is None else known.body
    if body is None or body.text is None or len(body.text) > BODY_BYTES_MAX:
        return
    text = body.text.strip().rstrip(";")
    if not any(body.argument_names):
        yield Step(text.encode(), body.argument_types, is_parsed_only=True)
        return
    named = _with_parameters(catalogue, text, body)
    if named is not None:
        yield Step(named.encode(), body.argument_types, is_parsed_only=True)


def _with_parameters(catalogue: Catalogue, text: str, body: SqlBody) -> str | None:
    """The body with `$n` for its arguments' names; None where a name may be a column's, which goes before an argument's."""
    facts = analyse(text.encode())
    if not isinstance(facts, tuple) or len(facts) != 1:
        return None
    numbers = {name: number for number, name in enumerate(body.argument_names, 1) if name}
    if any(_may_hide(part, catalogue, frozenset(numbers)) for part in _parts(facts[0])):
        return None
    words = []
    previous = following = ""
    tokens = [token for token in tokens_of(text) if token[0] not in _COMMENTS]
    for place, (name, _, written, _) in enumerate(tokens):
        following = tokens[place + 1][2] if place + 1 < len(tokens) else ""
        # The server folds the letters of ASCII alone: `É` and `é` are two names.
        folded = written.encode().lower().decode() if not written.startswith('"') else written[1:-1].replace('""', '"')
        is_argument = name in _IDENTIFIERS and folded in numbers and "." not in (previous, following) and following != "("
        words.append(f"${numbers[folded]}" if is_argument else written)
        previous = written
    return " ".join(words)


def _may_hide(part: StatementFacts, catalogue: Catalogue, arguments: frozenset[str]) -> bool:
    """Whether a column that an argument's name could mean, or a row, may be in sight."""
    if not part.from_is_plain or not arguments.isdisjoint(part.aliases):
        return True
    names = part.reads | part.writes
    if any(name.name in arguments or not catalogue.knows(name) for name in names):
        return True
    columns = {column.name for name in names for relation in catalogue.candidates(name) for column in relation.columns.values()}
    return not arguments.isdisjoint(columns)


def _parts(facts: StatementFacts) -> Iterator[StatementFacts]:
    yield facts
    for child in facts.children:
        yield from _parts(child)
