"""The policy file: YAML that a security officer can read, validated and turned into a `Policy`."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from querywarden.config.policy_checks import check
from querywarden.config.policy_kinds import PROPERTIES as PROPERTIES
from querywarden.config.policy_sections import PolicyFile, RevealSection
from querywarden.config.policy_translation import (
    automatic_of,
    classes_of,
    freeze_of,
    limit_of,
    mask_of,
    requestable_of,
    rule_of,
    terms_of,
    where_of,
    who_of,
)
from querywarden.config.yaml_lines import parse_yaml, raise_with_lines, read_file
from querywarden.errors import ConfigurationError
from querywarden.model.catalogue import DataClass
from querywarden.policy.baseline import BASELINE_LIMITS, built_in_rules
from querywarden.policy.language import Access, ColumnClassRule, Policy, RevealRule, Rule, Where


def load_policy(path: str | Path) -> Policy:
    """Load a policy file; the policy's version is the SHA-256 of the file's bytes.

    Raises: ConfigurationError, with file, line and what would be right.
    """
    data = read_file(path)
    raw, lines = parse_yaml(data, path)
    if not isinstance(raw, dict):
        raise ConfigurationError("the file holds no policy", str(path), 1, "it begins with version: 1")
    try:
        parsed = PolicyFile.model_validate(raw)
    except ValidationError as error:
        raise_with_lines(error, lines, path, PolicyFile)
    built_in = built_in_rules(is_extended=parsed.extends == "baseline", holds_laundering=parsed.laundering == "hold")
    check(parsed, built_in, lines, path)
    return _policy(parsed, built_in, sha256(data).hexdigest(), str(path))


def _policy(parsed: PolicyFile, built_in: tuple[Rule, ...], version: str, name: str) -> Policy:
    is_extended = parsed.extends == "baseline"
    terms = terms_of(parsed.approvals)
    return Policy(
        version=version,
        rules=(
            *(rule_of(rule, terms) for rule in parsed.rules),
            *(freeze_of(freeze, terms) for freeze in parsed.freezes),
            *built_in,
        ),
        access=tuple(
            Access(entry.id or f"access.{number}", who_of(entry.who), where_of(entry)) for number, entry in enumerate(parsed.access, 1)
        ),
        reveals=tuple(_reveal(entry, number) for number, entry in enumerate(parsed.reveal, 1)),
        column_classes=tuple(
            ColumnClassRule(column, None if entry.data_class == "none" else DataClass(entry.data_class), Where(entry.databases))
            for column, entry in parsed.columns.items()
        ),
        limits=tuple(limit_of(entry, entry.id or f"limits.{number}") for number, entry in enumerate(parsed.limits, 1)),
        limits_default=BASELINE_LIMITS if is_extended else (),
        trusted_functions=parsed.trusted_functions,
        name=name,
        approvals=terms,
        automatic=tuple(map(automatic_of, parsed.automatic_approvals)),
        requestable=tuple(requestable_of(entry, terms) for entry in parsed.requestable),
        masks=tuple(mask_of(entry, entry.id or f"masks.{number}") for number, entry in enumerate(parsed.masks, 1)),
    )


def _reveal(entry: RevealSection, number: int) -> RevealRule:
    is_all = "all" in entry.classes
    classes = frozenset[DataClass]() if is_all else classes_of(entry.classes)
    return RevealRule(entry.id or f"reveal.{number}", who_of(entry.who), where_of(entry), classes, entry.columns, everything=is_all)
