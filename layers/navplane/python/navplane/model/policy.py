"""Which providers and models an organization may use.

PostgresGate decides the same in SQL, inside the admission; one table of cases in the gate contract suite holds both to it.
"""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """Empty `allow_models` allows every model of an enabled provider. Deny beats allow.

    Patterns are globs where `*` stands for any run of characters and everything else for itself; case matters, as it does
    to the providers.
    """

    disabled_providers: frozenset[str] = field(default_factory=frozenset)
    allow_models: tuple[str, ...] = ()
    block_models: tuple[str, ...] = ()


def allows(settings: ProviderSettings, *, provider: str, model: str | None) -> bool:
    if provider in settings.disabled_providers:
        return False
    if model is None:
        return True
    if any(matches(pattern, model) for pattern in settings.block_models):
        return False
    return not settings.allow_models or any(matches(pattern, model) for pattern in settings.allow_models)


def matches(pattern: str, model: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), model, re.DOTALL) is not None
