"""Policies: which providers and models an organization, a workspace or a key may use.

Three levels may have one. The most specific one that says anything about a name decides; nobody saying anything allows it.
PostgresGate decides the same in SQL, inside the admission; the gate contract suite and a property test hold both to it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class PolicyScope(StrEnum):
    """The most specific first. The value is stored: never rename one."""

    KEY = "key"
    WORKSPACE = "workspace"
    ORGANIZATION = "organization"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one level says. Within it deny beats allow, and a list of what is allowed denies everything else.

    Patterns are globs where `*` stands for any run of characters and everything else for itself; case matters, as it does
    to the providers. `allow_files`: files and batches; None says nothing, and where nobody does they are off.
    """

    enabled_providers: frozenset[str] = field(default_factory=frozenset)
    disabled_providers: frozenset[str] = field(default_factory=frozenset)
    allow_models: tuple[str, ...] = ()
    block_models: tuple[str, ...] = ()
    allow_files: bool | None = None

    def on_provider(self, provider: str) -> bool | None:
        """None where this level says nothing."""
        if provider in self.disabled_providers:
            return False
        return provider in self.enabled_providers if self.enabled_providers else None

    def on_model(self, model: str) -> bool | None:
        """None where this level says nothing."""
        if any(matches(pattern, model) for pattern in self.block_models):
            return False
        return any(matches(pattern, model) for pattern in self.allow_models) if self.allow_models else None


def forbidden(levels: Sequence[Policy], *, provider: str, model: str | None) -> str | None:
    """The name that may not be used, the provider's or the model's; None if both may. The most specific level comes first."""
    if not _first(level.on_provider(provider) for level in levels):
        return provider
    if model is not None and not _first(level.on_model(model) for level in levels):
        return model
    return None


def allows_files(levels: Sequence[Policy]) -> bool:
    return next((level.allow_files for level in levels if level.allow_files is not None), False)


def matches(pattern: str, model: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), model, re.DOTALL) is not None


def covers(pattern: str, other: str) -> bool:
    """Whether whatever `other` matches is matched by `pattern`, too."""
    # A character that is in no name: only a `*` of `pattern` can take the place of a `*` of `other`.
    return matches(pattern, other.replace("*", "\0"))


def _first(verdicts: Iterable[bool | None]) -> bool:
    return next((verdict for verdict in verdicts if verdict is not None), True)
