"""Policies, explanations, test results and simulations as readable lines; whatever could act on a terminal is shown as its code."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from querywarden.admin.policy import PolicySummary, RuleSummary
from querywarden.admin.policy_simulation import Change, Simulation
from querywarden.admin.policy_test import CaseResult
from querywarden.admin.policy_words import told_limits, told_terms
from querywarden.cli.audit_lines import visible
from querywarden.model.decision import Allow, Decision, Hold
from querywarden.policy.explain import Explanation, PartExplanation, outcome_of

COLOURS = {"allow": "green", "hold": "yellow", "deny": "red"}
CHANGES_SHOWN = 50


def print_summary(console: Console, summary: PolicySummary, is_file: bool, every_rule: bool) -> None:
    """A policy in words: its own rules, the built-in ones too where asked for, and its other sections."""
    console.print(Text.assemble((summary.name, "bold"), f"  version {summary.version[:12]}"))
    for rule in summary.rules:
        if every_rule or not (is_file and rule.is_built_in):
            _print_rule(console, rule)
    if is_file and not every_rule:
        console.print(Text(f"and {sum(rule.is_built_in for rule in summary.rules)} built-in rules (--all shows them)", "dim"))
    for heading, entries in summary.sections:
        for entry in entries:
            console.print(Text(f"{heading}  {entry}"))


def _print_rule(console: Console, rule: RuleSummary) -> None:
    note = "  (observed only)" if rule.is_observed else ""
    console.print(Text.assemble((f"{rule.effect:5} ", COLOURS[rule.effect]), (rule.id, "bold"), f"  {rule.who}, {rule.where}{note}"))
    console.print(Text(f"      {rule.what}"))
    for more in (rule.when and f"when {rule.when}", rule.approval and f"approved by {rule.approval}"):
        if more:
            console.print(Text(f"      {more}"))
    if rule.overrides:
        console.print(Text(f"      overrides {', '.join(rule.overrides)}"))


def print_explanation(console: Console, explanation: Explanation, every_rule: bool) -> None:
    """A decision with what led to it."""
    if explanation.access is not None:
        console.print(Text(f"The principal may not connect: {explanation.access.sentence}", "red"))
    _print_decision(console, explanation.decision)
    if explanation.wants_estimate:
        console.print(Text("  The proxy would ask the server for an estimate of the rows first; --rows N says what it answers.", "yellow"))
    for part in explanation.parts:
        _print_part(console, part, every_rule)


def _print_decision(console: Console, decision: Decision) -> None:
    outcome = outcome_of(decision)
    console.print(Text.assemble((outcome.upper(), f"bold {COLOURS[outcome]}"), f"  by {decision.rule}"))
    if isinstance(decision, Allow):
        _print_allowed(console, decision)
    else:
        console.print(Text(f"  {decision.sentence}\n  {decision.hint}"))
    if isinstance(decision, Hold):
        terms = decision.terms
        console.print(Text(f"  to be approved by {told_terms(terms)}"))
        if terms.standing is not None:
            console.print(Text(f"  a standing approval of this exact statement is enough, by {terms.standing}"))
        console.print(Text("  once approved:"))
        _print_allowed(console, decision.allow)
    for observed in decision.observed:
        console.print(Text(f"  observed: {observed.rule} would {observed.effect} it", "dim"))


def _print_allowed(console: Console, allow: Allow) -> None:
    reveal = allow.reveal
    shown = "everything" if reveal.everything else ", ".join([*sorted(reveal.classes), *sorted(reveal.columns)])
    console.print(Text(f"  unmasked: {shown or 'no classified column'}"))
    for name, operator in reveal.masks:
        console.print(Text(f"  masked by {operator}: {name}"))
    for limit in told_limits(allow):
        console.print(Text(f"  at most {limit}"))
    if allow.automatic is not None:
        console.print(Text(f"  held by {allow.rule}, and approved by the automatic rule {allow.automatic}"))


def _print_part(console: Console, part: PartExplanation, every_rule: bool) -> None:
    console.print(Text(f"\n  {part.verb}", "bold"))
    for heading, values in (
        ("properties", part.properties),
        ("reads", part.reads),
        ("writes", part.writes),
        ("functions", part.functions),
    ):
        if values:
            console.print(Text(visible(f"    {heading}: {', '.join(values)}")))
    for step in part.steps:
        if every_rule or step.outcome != "does not match":
            console.print(Text.assemble("    ", (step.effect, COLOURS[step.effect]), f" {step.rule}: {step.outcome}; {step.why}"))


def print_results(console: Console, results: Sequence[CaseResult]) -> None:
    """The cases that failed, each with what differs, and the count."""
    for result in results:
        if result.passed:
            continue
        console.print(Text.assemble(("FAIL", "bold red"), visible(f"  {result.file}:{result.line}: {result.name}")))
        for difference in result.differences:
            console.print(Text(f"      {difference.what}: "), end="")
            console.print(Text(visible(f"expected {difference.expected}"), "green"), end="")
            console.print(Text(visible(f", decided {difference.actual}"), "red"))
        if result.note:
            console.print(Text(f"      {result.note}", "yellow"))
    failed = sum(not result.passed for result in results)
    told = f"{len(results)} case passed" if len(results) == 1 else f"{len(results)} cases passed"
    if failed:
        told = f"{failed} of {len(results)} cases failed"
    console.print(Text(told, "bold red" if failed else "bold green"))


def print_simulation(console: Console, found: Simulation, every_change: bool) -> None:
    """What a policy would have decided otherwise, strictest first, and what could not be looked at."""
    if found.first:
        noun = "decision" if found.decisions == 1 else "decisions"
        console.print(Text(f"{found.decisions} {noun} from {_time(found.first)} to {_time(found.last)} UTC", "bold"))
    else:
        console.print(Text(f"no decisions since {_time(found.since)} UTC", "bold"))
    shown = found.changes if every_change else found.changes[:CHANGES_SHOWN]
    for new in ("deny", "hold", "allow"):
        for change in (each for each in shown if each.new == new):
            _print_change(console, change)
    differing = sum(change.count for change in found.changes) + found.changes_left_out
    told = f"{differing} would differ, {found.same} would not"
    if found.other_rule:
        told += f" ({found.other_rule} of them by another rule)"
    console.print(Text(told, "bold"))
    if len(shown) < len(found.changes) or found.changes_left_out:
        left_out = len(found.changes) - len(shown)
        console.print(Text(f"{left_out} kinds of changes not shown (--all), {found.changes_left_out} decisions not listed at all", "dim"))
    for rule, count in sorted(found.observed.items()):
        console.print(Text(f"observed: {rule} would have had an effect {_times(count)}"))
    for why, count in sorted(found.not_replayed.items()):
        console.print(Text(visible(f"not replayed: {count}: {why}"), "yellow"))


def _print_change(console: Console, change: Change) -> None:
    console.print(
        Text.assemble(
            (change.old, COLOURS.get(change.old, "")), " → ", (change.new, f"bold {COLOURS[change.new]}"),
            visible(f"  {_times(change.count)}  by {change.new_rule} (was {change.old_rule})"),
        )
    )  # fmt: skip
    console.print(Text(visible(f"      {change.principal} on {change.database}: {change.statement}")))
    times = _time(change.first) if change.count == 1 else f"{_time(change.first)} to {_time(change.last)}"
    console.print(Text(f"      {times}", "dim"))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _time(text: str) -> str:
    return visible(text[:16].replace("T", " "))
