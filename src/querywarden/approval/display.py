"""What approvers are shown of a held statement, bounded so that a request stays readable and the control store small."""

from __future__ import annotations

from collections.abc import Sequence

from querywarden.approval.request import HeldStatement, StatementShown

TEXT_CHARACTERS_MAX = 100_000
"""Of a statement's text. Nobody reads more; what is bound is the fingerprint of the whole."""
PARAMETERS_MAX = 100
PARAMETER_CHARACTERS_MAX = 1000
NAMES_MAX = 200
PLAN_CHARACTERS_MAX = 64 * 1024
BRIEF_CHARACTERS_MAX = 2000
"""Of a statement's normalised text in a list."""
NAMESPACE_CHARACTERS_MAX = 4_000


def statement_shown(held: HeldStatement) -> StatementShown:
    """The statement of a hold, as it is kept for approvers. Secrets: the requester's literals."""
    return StatementShown(
        text=_cut(held.text, TEXT_CHARACTERS_MAX),
        normalised=_cut(held.normalised, TEXT_CHARACTERS_MAX),
        verb=held.verb,
        sentence=held.sentence,
        parameters=shown_parameters(held.parameters),
        reads=_some(held.reads),
        writes=_some(held.writes),
        functions=_some(held.functions),
        properties=_some(held.properties),
        estimated_rows=held.estimated_rows,
        # A cut plan is no JSON any more, so one that is too large isn't kept.
        plan=held.plan if held.plan is not None and len(held.plan) <= PLAN_CHARACTERS_MAX else None,
        namespace=_cut(held.namespace, NAMESPACE_CHARACTERS_MAX),
    )


def brief(shown: StatementShown) -> StatementShown:
    """What a list shows of a statement: without its text, parameters and plan."""
    normalised = shown.normalised[:BRIEF_CHARACTERS_MAX]
    return StatementShown(text="", normalised=normalised, verb=shown.verb, sentence=shown.sentence, estimated_rows=shown.estimated_rows)


def shown_parameters(parameters: Sequence[str | None]) -> tuple[str | None, ...]:
    """A statement's parameters, bounded in length and number; what was left out is said."""
    shown = tuple(None if value is None else _cut(value, PARAMETER_CHARACTERS_MAX) for value in parameters[:PARAMETERS_MAX])
    rest = len(parameters) - len(shown)
    return (*shown, f"… {rest} more parameters") if rest > 0 else shown


def _cut(text: str, characters_max: int) -> str:
    rest = len(text) - characters_max
    return f"{text[:characters_max]}… {rest} more characters" if rest > 0 else text


def _some(names: Sequence[str]) -> tuple[str, ...]:
    rest = len(names) - NAMES_MAX
    return (*names[:NAMES_MAX], f"… {rest} more") if rest > 0 else tuple(names)
