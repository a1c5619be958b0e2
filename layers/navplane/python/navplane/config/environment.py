"""Environment variables: how one is read, and what is said of one that is wrong."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from navplane.errors import ConfigurationError
from navplane.model.tenancy import Region

Environment = Mapping[str, str]


Choice = TypeVar("Choice", bound=StrEnum)


class Mode(StrEnum):
    """Where this process runs. Only LOCAL may send provider traffic to a loopback address."""

    AWS = "aws"
    CONTAINER = "container"
    LOCAL = "local"


def require(env: Environment, name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise ConfigurationError(f"{name} is not set. docs/reference/environment.md says what it is.")
    return value


def choose(env: Environment, name: str, kind: type[Choice], default: Choice) -> Choice:
    value = env.get(name) or default.value
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(member.value for member in kind)
        raise ConfigurationError(f"{name} is {value!r}; it must be one of: {choices}.") from None


def whole_number(env: Environment, name: str, default: int) -> int:
    value = env.get(name) or str(default)
    if not value.isdecimal():
        raise ConfigurationError(f"{name} is {value!r}; it must be a whole number.")
    return int(value)


def region_of(env: Environment) -> Region:
    return choose(env, "NAVPLANE_REGION", Region, Region.US)


def key_prefixes(env: Environment) -> tuple[str, ...]:
    """The prefixes of API keys; the first one is given to new keys."""
    prefixes = tuple(part.strip() for part in (env.get("API_KEY_PREFIXES") or "np_").split(",") if part.strip())
    for prefix in prefixes:
        if not (prefix.isascii() and prefix.endswith("_") and prefix[:-1].isalnum() and len(prefix) <= 16):
            raise ConfigurationError(
                f"API_KEY_PREFIXES has {prefix!r}; a prefix is letters and digits and ends with _, such as np_."
            )
    return prefixes
