"""Loading the configuration file: YAML with line numbers, environment variables, paths relative to the file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError, create_model

from querywarden.config.approval_settings import ApiListenSettings
from querywarden.config.models import Config, ListenerSettings, ServerSettings, Settings, is_loopback
from querywarden.config.yaml_lines import KeyPath, LineMap, load_yaml, nearest_name, raise_with_lines, suggestion
from querywarden.errors import ConfigurationError
from querywarden.model.secret import Secret

S = TypeVar("S", bound=Settings)

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
SOCKET_PATH_BYTES_MAX = 107
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def load_config(path: str | Path, environment: Mapping[str, str] | None = None) -> Config:
    """Load a configuration file.

    Args: `environment` stands in for the process's environment variables.
    Raises: ConfigurationError, with file and line where it has one.
    """
    return load_config_and_source(path, environment)[0]


def load_config_and_source(path: str | Path, environment: Mapping[str, str] | None = None) -> tuple[Config, Mapping[str, Any]]:
    """Load a configuration file; also give what it says itself, for telling settings from defaults."""
    file = Path(path)
    data, lines = load_yaml(file)
    if not isinstance(data, dict):
        raise ConfigurationError("the file holds no settings", str(file), 1, "it begins with listeners: and databases:")
    substituted = _substitute(data, os.environ if environment is None else environment, lines, file, ())
    try:
        config = Config.model_validate(_with_all_sections(substituted), context={"base": file.absolute().parent})
    except ValidationError as error:
        raise_with_lines(error, lines, file, Config)
    _check_listeners(config, lines, file)
    _check_identity(config, lines, file)
    _check_api(config, lines, file)
    return config, data


def load_section(path: str | Path, name: str, settings: type[S], environment: Mapping[str, str] | None = None) -> S:
    """Load one section of a configuration file, for commands that need no more: what the others say, secrets among it, isn't looked at.

    Args: `name` is the section's, `settings` its model.
    Raises: ConfigurationError, with file and line where it has one.
    """
    file = Path(path)
    data, lines = load_yaml(file)
    if not isinstance(data, dict):
        raise ConfigurationError("the file holds no settings", str(file), 1, "it begins with listeners: and databases:")
    said = data.get(name)
    section = {} if said is None else _substitute(said, os.environ if environment is None else environment, lines, file, (name,))
    whole = create_model("Part", __base__=Settings, **{name: (settings, ...)})  # type: ignore[call-overload]
    try:
        found: S = getattr(whole.model_validate({name: section}, context={"base": file.absolute().parent}), name)
    except ValidationError as error:
        raise_with_lines(error, lines, file, whole)
    return found


def server_password(server: ServerSettings) -> Secret | None:
    """The password of the proxy's role on a server, from the setting or its file; None where there is neither.

    Raises: ConfigurationError when the file can't be read.
    """
    if server.password is not None:
        return Secret(server.password.get_secret_value().encode())
    if server.password_file is None:
        return None
    try:
        content = server.password_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the password file can't be read: {error.strerror}", str(server.password_file)) from None
    return Secret(content.split(b"\n", 1)[0].rstrip(b"\r"))


def _with_all_sections(data: dict[str, Any]) -> dict[str, Any]:
    """The data with an empty section for each that is left out, so that defaults in them see where the file lies."""
    complete = dict(data)
    for name, field in Config.model_fields.items():
        is_section = isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
        if is_section and complete.get(name) is None:
            complete[name] = {}
    return complete


def _substitute(value: Any, environment: Mapping[str, str], lines: LineMap, file: Path, place: KeyPath) -> Any:
    if isinstance(value, dict):
        return {key: _substitute(item, environment, lines, file, (*place, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, environment, lines, file, (*place, index)) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replacement(match: re.Match[str]) -> str:
        name = match.group(1)
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{_dotted(place)}: ${{{name}}} is not the name of an environment variable", str(file), lines.line(place), "write ${NAME}"
            )
        if name not in environment:
            by_lower = {each.lower(): each for each in environment}
            close = by_lower.get(nearest_name(name, by_lower) or "")
            hint = f"did you mean {close}?" if close else f"set it: export {name}=…"
            raise ConfigurationError(f"{_dotted(place)}: the environment variable {name} is not set", str(file), lines.line(place), hint)
        return environment[name]

    return _VARIABLE.sub(replacement, value)


def _check_listeners(config: Config, lines: LineMap, file: Path) -> None:
    # Not a length in the model: an entry that is wrong would be told as a list that is too short.
    for name, entries in (("listeners", config.listeners), ("databases", config.databases)):
        if not entries:
            raise ConfigurationError(f"{name} is empty", str(file), lines.line((name,)), "there must be one at least")
    seen: dict[tuple[str, int], int] = {}
    for index, listener in enumerate(config.listeners):
        place: KeyPath = ("listeners", index)
        _check_plaintext(listener, lines, file, place)
        if listener.database is not None and listener.database not in config.databases:
            raise ConfigurationError(
                f"the listener is bound to {listener.database!r}, which is not a configured database",
                str(file), lines.line((*place, "database")), suggestion(listener.database, config.databases),
            )  # fmt: skip
        address = (listener.host, listener.port)
        if listener.port and address in seen:
            raise ConfigurationError(f"two listeners have the address {listener.host}:{listener.port}", str(file), lines.line(place))
        seen[address] = index


def _check_api(config: Config, lines: LineMap, file: Path) -> None:
    api = config.api
    if not api.enabled:
        return
    if api.listen is not None:
        _check_plaintext(api.listen, lines, file, ("api", "listen"), "API's address")
    if len(os.fsencode(api.socket)) > SOCKET_PATH_BYTES_MAX:
        raise ConfigurationError(
            f"the API's socket {api.socket} has a path of more than {SOCKET_PATH_BYTES_MAX} bytes, which no Unix socket can have",
            str(file), lines.line(("api", "socket")), "name a shorter one under api.socket",
        )  # fmt: skip


def _check_plaintext(
    listener: ListenerSettings | ApiListenSettings, lines: LineMap, file: Path, place: KeyPath, noun: str = "listener"
) -> None:
    if listener.tls is not None:
        return
    if not listener.allow_plaintext_loopback:
        raise ConfigurationError(
            f"the {noun} {listener.host}:{listener.port} has no certificate, so tokens would travel in clear",
            str(file), lines.line(place),
            "add tls: {certificate: …, key: …}, or, on a loopback address, allow_plaintext_loopback: true",
        )  # fmt: skip
    if not is_loopback(listener.host):
        raise ConfigurationError(
            f"the {noun} {listener.host}:{listener.port} accepts plaintext, but is not on a loopback address",
            str(file), lines.line(place), "add tls: {certificate: …, key: …}, or listen on 127.0.0.1",
        )  # fmt: skip


def _check_identity(config: Config, lines: LineMap, file: Path) -> None:
    identity = config.identity
    if not identity.issuers and not identity.service_tokens.enabled:
        raise ConfigurationError(
            "nobody could log in: there is no issuer, and service tokens are switched off",
            str(file), lines.line(("identity",)), "name an issuer under identity.issuers",
        )  # fmt: skip
    urls = [issuer.issuer for issuer in identity.issuers]
    for index, url in enumerate(urls):
        if url in urls[:index]:
            raise ConfigurationError(f"the issuer {url} stands twice", str(file), lines.line(("identity", "issuers", index)))
    for name, database in config.databases.items():
        place: KeyPath = ("databases", name, "server")
        if database.server.password is not None and database.server.password_file is not None:
            raise ConfigurationError("give password or password_file, not both", str(file), lines.line(place))
        if (database.server.tls.certificate is None) != (database.server.tls.key is None):
            raise ConfigurationError("a client certificate needs certificate and key", str(file), lines.line((*place, "tls")))


def _dotted(place: KeyPath) -> str:
    return ".".join(str(part) for part in place)
