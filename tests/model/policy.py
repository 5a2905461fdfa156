"""The slow, obvious reference implementation of policy decisions: what `querywarden.policy.evaluate.decide` must agree with.

It enumerates everything: every schema that an unqualified name may stand for, every rule against every part, all outcomes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from querywarden.model.decision import Allow, Decision, Deny, Hold
from querywarden.policy.evaluate import Request, reveal_of
from querywarden.policy.language import Group, Policy, Rule
from querywarden.policy.properties import Part, parts_of
from querywarden.policy.windows import Period

RANK = {Allow: 0, Hold: 1, Deny: 2}


def rank(decision: Decision) -> int:
    """How little a decision allows: 0 for allow, 1 for hold, 2 for deny."""
    return RANK[type(decision)]


def outcome(policy: Policy, request: Request) -> tuple[int, str, str | None, tuple[str, ...]]:
    """The rank of the decision on a statement, the rule that decides, the automatic approval, and the rules that are only observed."""
    reveal = reveal_of(policy, request.principal, request.database, request.catalogue)
    parts = list(parts_of(request.facts, request.catalogue, reveal, policy.trusted_functions, request.is_blind))
    left = [(part, rule) for part in parts for rule in _left(policy, request, part)]
    seen = []
    for part, rule in left:
        if rule.is_observed and rule.id not in seen and not (rule.effect == "hold" and _needs_nobody(policy, rule, part, request)):
            seen.append(rule.id)
    observed = tuple(seen)
    for part in parts:
        rules = [rule for each, rule in left if each is part and not rule.is_observed]
        denying = [rule.id for rule in rules if rule.effect == "deny"]
        if denying or not rules:
            return 2, denying[0] if denying else "policy.no_rule", None, observed
    holding = [(part, rule) for part, rule in left if rule.effect == "hold" and not rule.is_observed]
    waiting = [rule for part, rule in holding if not _needs_nobody(policy, rule, part, request)]
    if waiting:
        most = max((rule.terms or policy.approvals).quorum for rule in waiting)
        return 1, next(rule.id for rule in waiting if (rule.terms or policy.approvals).quorum == most), None, observed
    if holding:
        part, rule = holding[0]
        return 0, rule.id, _needs_nobody(policy, rule, part, request), observed
    return 0, next(rule.id for part, rule in left if part is parts[0] and not rule.is_observed), None, observed


def has_agreed(policy: Policy, request: Request, people: list[frozenset[str]]) -> bool:
    """Whether people with these groups are enough for a held statement: for each rule that holds it on its own."""
    reveal = reveal_of(policy, request.principal, request.database, request.catalogue)
    for part in parts_of(request.facts, request.catalogue, reveal, policy.trusted_functions, request.is_blind):
        for rule in _left(policy, request, part):
            if rule.effect != "hold" or rule.is_observed or _needs_nobody(policy, rule, part, request):
                continue
            terms = rule.terms or policy.approvals
            agreeing = [groups for groups in people if any(fnmatchcase(group, glob) for group in groups for glob in terms.approvers)]
            if len(agreeing) < terms.quorum:
                return False
    return True


def _left(policy: Policy, request: Request, part: Part) -> list[Rule]:
    matching = [rule for rule in policy.rules if matches(rule, request, part)]
    fixed = [rule.id for rule in policy.rules if rule.is_fixed]
    aside = set()
    for rule in matching:
        if rule.effect == "allow":
            for name in rule.overrides:
                if name not in fixed:
                    aside.add(name)
    return [rule for rule in matching if rule.id not in aside]


def _needs_nobody(policy: Policy, rule: Rule, part: Part, request: Request) -> str | None:
    for entry in policy.automatic:
        if rule.id not in entry.rules or entry.is_standing or not _at(entry.when, request.now):
            continue
        if not (entry.who.matches(request.principal) and entry.where.matches(request.database)):
            continue
        rows = rows_of(part, request)
        if rows == "none":
            # A statement that runs another one is as large as the whole.
            rows = request.estimate.rows if request.facts.verb in _PLANNED and request.estimate else None
        if entry.rows_up_to is None or (rows is not None and rows <= entry.rows_up_to):
            return entry.id
    return None


_PLANNED = ("select", "insert", "update", "delete", "merge", "execute", "declare")
_WITH_ROWS = ("select", "insert", "update", "delete", "merge", "truncate", "copy_in", "copy_out", "call", "do")


def rows_of(part: Part, request: Request) -> int | str | None:
    """The rows of a part: a number, None where nobody knows, `none` where there are none to count."""
    root, facts = request.facts, part.facts
    if facts.verb not in _WITH_ROWS and not (facts.verb == "execute" and not facts.children):
        return "none"
    if root.verb == "prepare" or (root.verb == "explain" and "explain_analyze" not in root.hazards):
        return 0
    if root.verb == "create" and root.object_kind not in (None, "table", "temporary_table", "materialized_view"):
        return 0
    if "keyed_write" in part.properties and not request.is_blind:
        return 1
    if facts.verb == "insert" and facts.values_rows is not None:
        return facts.values_rows
    if root.verb in _PLANNED and facts.verb in _PLANNED and request.estimate is not None:
        return request.estimate.rows
    return None


def matches(rule: Rule, request: Request, part: Part) -> bool:
    """Whether a rule matches a part of a statement: the conjunction of all that it asks."""
    facts, what = part.facts, rule.what
    principal, database = request.principal, request.database
    asked = [
        not rule.where.environments or database.environment in rule.where.environments,
        not rule.where.databases or any(fnmatchcase(database.name, each) for each in rule.where.databases),
        rule.who.delegated is None or rule.who.delegated == (len(principal.actors) > 0),
        _all_fields(rule.who.included, principal),
        not any(_fields(rule.who.excluded, principal)),
        _at(rule.when, request.now),
        not what.verbs or facts.verb in what.verbs or (rule.effect.value != "allow" and any(each in what.verbs for each in facts.acts_as)),
        not what.properties or any(each in part.properties for each in what.properties),
        not any(each in part.properties for each in what.without),
        not rule.is_freeze or _changes(part),
        not what.object_kinds or any(fnmatchcase(facts.object_kind or "", each) for each in what.object_kinds),
        not what.relations or _relations(rule, what.relations, facts.reads | facts.writes, request),
        not what.reads or _relations(rule, what.reads, facts.reads, request),
        not what.writes or _relations(rule, what.writes, facts.writes, request),
        not what.columns or _columns(rule, what.columns, part, request),
        what.rows_over is None or _rows(rule, part, request),
    ]
    return all(asked)


def _changes(part: Part) -> bool:
    if "read_only" in part.properties:
        return False
    return "volatile_function" in part.properties or ("changes_data" in part.properties and "temporary" not in part.properties)


def _rows(rule: Rule, part: Part, request: Request) -> bool:
    rows = rows_of(part, request)
    if rows == "none" or (rule.what.spares_values and part.facts.values_rows is not None):
        return False
    return rule.effect != "allow" if rows is None else rows > rule.what.rows_over


def _at(windows, now: float) -> bool:
    return not windows or any(_is_in(window, now) for window in windows)


def _is_in(window, now: float) -> bool:
    """Whether a minute is one of the window's, counted from the midnights of today and yesterday."""
    if isinstance(window, Period):
        return window.starts <= now < window.ends
    local = datetime.fromtimestamp(now, window.zone).replace(tzinfo=None)
    length = (window.ends - window.starts) % 1440 or 1440
    for days_ago in (0, 1):
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
        start = midnight + timedelta(minutes=window.starts)
        if (not window.days or midnight.weekday() in window.days) and start <= local < start + timedelta(minutes=length):
            return True
    return False


def _fields(group: Group, principal) -> list[bool]:
    return [
        principal.kind in group.kinds,
        any(fnmatchcase(principal.subject, each) for each in group.subjects),
        any(fnmatchcase(name, each) for name in principal.groups for each in group.groups),
    ]


def _all_fields(group: Group, principal) -> bool:
    kind, subject, groups = _fields(group, principal)
    return (not group.kinds or kind) and (not group.subjects or subject) and (not group.groups or groups)


ANY_SCHEMA = ("public", "hr", "pg_temp", "some_schema_nobody_named")


def _relations(rule: Rule, patterns, names, request: Request) -> bool:
    results = []
    for name in names:
        if name.schema is not None:
            places = {(name.schema, name.name)} | {(each.schema, each.name) for each in request.catalogue.candidates(name)}
        else:
            known = {(each.schema, each.name) for each in request.catalogue.candidates(name)}
            places = known or {(schema, name.name) for schema in ANY_SCHEMA}
        found = [any(fnmatchcase(f"{schema}.{last}", _full(each)) for each in patterns) for schema, last in places]
        if not name.schema and not request.catalogue.candidates(name) and rule.effect != "allow":
            # A name that may stand in any schema may stand in the one that the rule asks for.
            found.append(any(fnmatchcase(name.name, each.rpartition(".")[2]) for each in patterns))
        results.append(all(found) if rule.effect == "allow" else any(found))
    if not results:
        return False
    return all(results) if rule.effect == "allow" else any(results)


def _full(pattern: str) -> str:
    return pattern if "." in pattern else f"*.{pattern}"


SOME_COLUMN = "some_column_nobody_named"
_WHOLE = ("copy_in", "copy_out", "create", "alter", "drop", "truncate", "comment")
_NO_COLUMNS_OF = ("delete", "truncate", "drop", "alter", "create", "comment", "call", "do")


def _columns(rule: Rule, patterns, part: Part, request: Request) -> bool:
    """Spell out every column that the statement may touch, by its full name, and match them all."""
    facts = part.facts
    is_allow = rule.effect == "allow"
    named = set(facts.column_names | facts.attribute_names)
    is_whole = facts.has_star or (facts.verb in _WHOLE and not named)
    if is_allow and (facts.has_star or not named or facts.verb in _NO_COLUMNS_OF or "merge_delete" in facts.hazards):
        return False
    placed = []
    for name in facts.reads | facts.writes:
        known = request.catalogue.candidates(name)
        for relation in known:
            columns = {column.name for column in relation.columns.values()}
            placed.append((f"{relation.schema}.{relation.name}", columns, True))
        if not known:
            schemas = [name.schema] if name.schema else [*ANY_SCHEMA]
            placed += [(f"{schema}.{name.name}", named | {SOME_COLUMN}, False) for schema in schemas]
    wide = [each if each.count(".") == 2 else f"*.{each}" for each in patterns]
    if is_allow:
        full = [f"{place}.{column}" for place, columns, _ in placed for column in columns & named]
        homeless = [column for column in named if not any(column in columns for _, columns, _ in placed)]
        spoken_of = all(any(fnmatchcase(place, each.rpartition(".")[0]) for each in wide) for place, _, _ in placed)
        in_place = all(any(fnmatchcase(each, pattern) for pattern in wide) for each in full)
        return bool(placed) and spoken_of and in_place and not homeless
    for place, columns, is_known in placed:
        touched = columns if is_whole and is_known else columns & named
        if any(fnmatchcase(f"{place}.{column}", pattern) for column in touched for pattern in wide):
            return True
        if is_whole and not is_known and any(fnmatchcase(place, pattern.rpartition(".")[0]) for pattern in wide):
            return True
    return False
