"""The kinds of settings: paths, addresses, names and times as the configuration's models use them, and the root of those models."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo


def _absolute(path: Path, info: ValidationInfo) -> Path:
    """A relative path is relative to the configuration file, whose folder comes as the validation's context."""
    base = (info.context or {}).get("base")
    return path if base is None else Path(base) / path


def _database_name(name: str) -> str:
    if not name or "\0" in name or len(name.encode()) > 63:
        raise ValueError("a database name has 1 to 63 bytes and no NUL")
    return name


def is_https_or_loopback(url: str) -> bool:
    """Whether a URL is https, or http to a loopback address."""
    if url.startswith("https://"):
        return True
    if not url.startswith("http://"):
        return False
    host = url.removeprefix("http://").split("/", 1)[0]
    host = host[1:].split("]", 1)[0] if host.startswith("[") else host.rsplit(":", 1)[0]
    return is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


PathSetting = Annotated[Path, AfterValidator(_absolute)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]
DatabaseName = Annotated[str, AfterValidator(_database_name)]


class Settings(BaseModel):
    """The root of all settings: unknown names are errors, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)


S = TypeVar("S", bound=Settings)


def all_defaults(settings: type[S]) -> Callable[[], S]:
    """A section that the file leaves out: all of its defaults."""
    return lambda: settings.model_validate({})


class ListenerTls(Settings):
    """The certificate that a listener shows to clients."""

    certificate: PathSetting = Field(description="PEM file with the certificate and its chain.")
    key: PathSetting = Field(description="PEM file with the private key; readable by the proxy's account only.")
