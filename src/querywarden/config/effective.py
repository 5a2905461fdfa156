"""The effective settings: every setting there is, what it is set to, whether that is the default, and what it does."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from querywarden.config.models import Config

HIDDEN = "(hidden)"
_WEBHOOK_URL = re.compile(r"webhooks\[[0-9]+\]\.url")


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """One setting: its dotted name, its value as plain data, whether the file leaves it to the default, its description."""

    name: str
    value: Any
    is_default: bool
    description: str


def effective_settings(config: Config, given: Mapping[str, Any]) -> list[EffectiveSetting]:
    """Every setting of a configuration in the order of its reference; `given` is what the file itself says. Secrets are hidden."""
    return list(_walk(config, given, ""))


def _walk(settings: BaseModel, given: Any, prefix: str) -> Iterator[EffectiveSetting]:
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        is_given = isinstance(given, Mapping) and name in given
        yield from _walk_value(f"{prefix}{name}", value, given[name] if is_given else None, is_given, field.description or "")


def _walk_value(name: str, value: Any, given: Any, is_given: bool, description: str) -> Iterator[EffectiveSetting]:
    if isinstance(value, BaseModel):
        yield from _walk(value, given, f"{name}.")
    elif isinstance(value, dict) and any(isinstance(item, BaseModel) for item in value.values()):
        for key, item in value.items():
            yield from _walk_value(f"{name}.{key}", item, given[key] if isinstance(given, Mapping) else None, True, description)
    elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        for index, item in enumerate(value):
            yield from _walk_value(f"{name}[{index}]", item, given[index] if isinstance(given, list) else None, True, description)
    else:
        yield EffectiveSetting(name, _plain(name, value), not is_given, description)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, SecretStr):
        return HIDDEN
    if name == "control.url":
        return _without_password(str(value))
    if _WEBHOOK_URL.fullmatch(name):
        # Who knows the whole address can write into the channel behind it.
        return f"{'/'.join(str(value).split('/', 3)[:3])}/{HIDDEN}"
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(name, item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(name, item) for key, item in value.items()}
    return value


def _without_password(url: str) -> str:
    """A database URL with its password hidden."""
    scheme, separator, rest = url.partition("://")
    place, at, host = rest.rpartition("@")
    if not at or ":" not in place:
        return url
    return f"{scheme}{separator}{place.split(':', 1)[0]}:{HIDDEN}@{host}"


def reference_page() -> str:
    """The reference of all settings, as Markdown: `docs/reference/configuration.md` is this text."""
    lines = [
        "# Configuration",
        "",
        "<!-- Generated from src/querywarden/config/models.py by `querywarden config --reference`; a test compares them. -->",
        "",
        "One YAML file, given with `-c`. Unknown names are errors, with the line and the nearest known name. Relative paths are",
        "relative to the file. `${NAME}` in a value is the environment variable of that name; one that isn't set is an error.",
        "`querywarden config -c FILE` shows what is in force and which of it is default. SIGHUP reads the policy file and the TLS",
        "files again; the other settings take a restart.",
        "",
        "`listeners` and `databases` must be there; to log in, somebody needs an issuer or a service token.",
        "",
    ]
    for name, description, model in _sections():
        lines += [f"## {name}", "", description, "", "| setting | type | default | what it does |", "|---|---|---|---|"]
        lines += [_reference_row(*row) for row in _reference_rows(model, "")]
        lines.append("")
    return "\n".join(lines)


def _sections() -> Iterator[tuple[str, str, type[BaseModel]]]:
    for name, field in Config.model_fields.items():
        model = next(_models(field.annotation))
        shape = {"listeners": "A list of:", "webhooks": "A list of:", "databases": "By the name that clients use:"}.get(name)
        yield name, f"{field.description}{f' {shape}' if shape else ''}", model


def _reference_rows(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = next(_models(field.annotation), None)
        if inner is None:
            yield f"{prefix}{name}", field
        else:
            mark = "[]" if get_origin(field.annotation) is tuple else ""
            yield from _reference_rows(inner, f"{prefix}{name}{mark}.")


def _reference_row(name: str, field: FieldInfo) -> str:
    default = "" if field.is_required() else f"`{_shown_default(field)}`"
    cells = (f"`{name}`", _type_name(field.annotation), "required" if field.is_required() else default, field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shown_default(field: FieldInfo) -> str:
    value = field.default if field.default is not PydanticUndefined else {}
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    plain = _plain("", value)
    if plain == "":
        return '""'
    return f"[{', '.join(map(str, plain))}]" if isinstance(plain, list) else str(plain)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _type_name(annotation: Any) -> str:
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if origin is tuple:
        return "list"
    if origin is dict:
        return "mapping"
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(each) for each in arguments if each is not type(None))
    if origin is not None:
        return _type_name(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " / ".join(member.value for member in annotation)
    return {str: "text", int: "integer", float: "number", bool: "true / false", Path: "path", SecretStr: "secret"}.get(annotation, "text")
