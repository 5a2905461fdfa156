"""YAML with line numbers: every value of a file knows its line, so that every error can say where to look.

Duplicate keys, merge keys and keys that are no plain text are errors: each hides a mistake in a file that guards something.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from querywarden.errors import ConfigurationError

KeyPath = tuple[str | int, ...]

_FILE_BYTES_MAX = 4 * 1024 * 1024
_NODES_MAX = 100_000
"""Values in one file; anchors that repeat themselves would make endless ones out of a few lines."""
_DEPTH_MAX = 50

_SINGULAR = {"properties": "property", "classes": "class", "class": "class"}

_SHAPES = {
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "tuple_type": "a list",
    "list_type": "a list",
    "string_type": "text (in quotation marks, where YAML reads something else)",
}
"""What pydantic's types of errors ask for, in the words of YAML."""


class LineMap:
    """The line (from 1) of each key and item of a file."""

    def __init__(self, lines: Mapping[KeyPath, int]) -> None:
        self._lines = dict(lines)

    def line(self, place: Iterable[str | int]) -> int | None:
        """The line of a place, or of the nearest one around it that the file has; None for an empty file."""
        path = tuple(place)
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path)


def load_yaml(path: str | Path) -> tuple[Any, LineMap]:
    """Load a YAML file: its data (None when empty) and the lines of its values.

    Raises: ConfigurationError, with file and line.
    """
    return parse_yaml(read_file(path), path)


def read_file(path: str | Path) -> bytes:
    """The bytes of a configuration file.

    Raises: ConfigurationError when it can't be read or is far too large.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the file can't be read: {error.strerror}", str(path)) from None
    if len(data) > _FILE_BYTES_MAX:
        raise ConfigurationError(f"the file is larger than {_FILE_BYTES_MAX} bytes", str(path))
    return data


def parse_yaml(data: bytes, path: str | Path) -> tuple[Any, LineMap]:
    """Parse YAML bytes; `path` is for the errors alone."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError("the file is not UTF-8", str(path), line) from None
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            walker = _Walker(loader, path)
            value = walker.value(node, (), 0) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line_found = mark.line + 1 if mark is not None else None
        raise ConfigurationError(f"not valid YAML: {error.problem or error.context}", str(path), line_found) from None
    except RecursionError:
        raise ConfigurationError("the file nests its values too deeply", str(path)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(f"not valid YAML: {type(error).__name__}", str(path)) from None
    return value, LineMap(walker.lines)


class _Walker:
    """Turns composed nodes into values and remembers their lines."""

    def __init__(self, loader: yaml.SafeLoader, path: str | Path) -> None:
        self._loader = loader
        self._path = path
        self._count = 0
        self.lines: dict[KeyPath, int] = {}

    def value(self, node: yaml.Node, place: KeyPath, depth: int) -> Any:
        self._count += 1
        if self._count > _NODES_MAX or depth > _DEPTH_MAX:
            self._fail("the file holds too many values, or nests them too deeply", node)
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*place, index), depth + 1) for index, item in enumerate(node.value)]
        try:
            return self._loader.construct_object(node)
        except ValueError:
            # A date such as 2026-12-40: YAML sees what it should be, and Python that it isn't.
            self._fail("not a value that YAML can read", node, "put it in quotation marks, if it is text")

    def _mapping(self, node: yaml.MappingNode, place: KeyPath, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                self._fail("a key must be plain text; merge keys are not supported", key_node)
            key = str(key_node.value)
            if key in found:
                self._fail(f"the key {key!r} stands twice", key_node, f"first on line {self.lines[(*place, key)]}")
            self.lines[(*place, key)] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, (*place, key), depth + 1)
        return found

    def _fail(self, message: str, node: yaml.Node, hint: str | None = None) -> NoReturn:
        raise ConfigurationError(message, str(self._path), node.start_mark.line + 1, hint)


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """The valid name that a mistyped one is most like, if any is near."""
    found = get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    return found[0] if found else None


def suggestion(name: str, names: Iterable[str]) -> str:
    """The hint for a name that isn't valid: the nearest one, or all of them when they are few."""
    valid = sorted(names)
    near = nearest_name(name, valid)
    if near is not None:
        return f"did you mean {near}?"
    return "valid: " + ", ".join(valid) if len(valid) <= 40 else "see the reference for the valid names"


def raise_with_lines(error: ValidationError, lines: LineMap, path: str | Path, model: type[BaseModel] | None = None) -> NoReturn:
    """Tell the first error of a validation as a ConfigurationError with file, line and a hint.

    Args: `model` is what was validated; with it an unknown key is answered with the nearest known one.
    """
    # On one line, a key that is mistyped says more than the one that is therefore missing.
    details = sorted(error.errors(include_url=False), key=lambda detail: (lines.line(detail["loc"]) or 0, detail["type"] == "missing"))
    first = details[0]
    message, hint = _told(first, model)
    if len(details) > 1:
        message += f" [and {len(details) - 1} more]"
    raise ConfigurationError(message, str(path), lines.line(first["loc"]), hint) from None


def _told(detail: ErrorDetails, model: type[BaseModel] | None) -> tuple[str, str | None]:
    place = detail["loc"]
    dotted = ".".join(str(part) for part in place)
    kind = detail["type"]
    if kind == "extra_forbidden":
        name = str(place[-1])
        known = sorted(_keys_at(model, place[:-1])) if model is not None else []
        inside = ".".join(str(part) for part in place[:-1])
        return f"unknown key {name!r}" + (f" in {inside}" if inside else ""), suggestion(name, known) if known else None
    if kind in ("enum", "literal_error"):
        expected = str(detail.get("ctx", {}).get("expected", ""))
        names = re.findall(r"'([^']*)'", expected) or [expected]
        given = detail["input"]
        noun = str(detail.get("ctx", {}).get("noun") or _noun(place))
        if isinstance(given, str):
            return f"unknown {noun} {given[:60]!r}", suggestion(given, names)
        return f"{dotted}: not a valid {noun}", "valid: " + ", ".join(names)
    if kind == "missing":
        return f"{dotted} is missing", None
    if kind in _SHAPES:
        return f"{dotted or 'the file'}: must be {_SHAPES[kind]}", None
    hint = detail.get("ctx", {}).get("hint")
    message = detail["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return (f"{dotted}: {message}" if dotted else message), str(hint) if hint else None


def _noun(place: KeyPath) -> str:
    """What a value of a list or field is called: `verbs` holds a verb."""
    names = [part for part in place if isinstance(part, str)]
    last = names[-1] if names else "value"
    return _SINGULAR.get(last, last.removesuffix("s")).replace("_", " ")


def _keys_at(model: type[BaseModel], place: KeyPath) -> set[str]:
    """The keys that a model has at a place: its own, or those of the models that its fields hold."""
    found = [model]
    for part in place:
        if isinstance(part, int):
            continue
        fields = [(name, field) for each in found for name, field in each.model_fields.items() if part in (name, field.alias)]
        inner = [each for _, field in fields for each in _models_in(field.annotation)]
        # A key of a mapping (the name of a database, say) is no field: the models around it stay.
        found = inner or found
    return {field.alias or name for each in found for name, field in each.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
