"""In which order an admission's candidates are tried: step by step, by weight within a step, and open keys last."""

import random
from collections.abc import Sequence

from navplane.errors import ProviderKeyMissing
from navplane.gate.gate import Admission, Candidate
from navplane.gateway.call import Call
from navplane.gateway.key_health import KeyHealth
from navplane.upstream.providers import PROVIDERS

# However long a chain is: a caller waits for all of it.
MAX_TRIES = 5


def tries_of(admission: Admission, call: Call, health: KeyHealth, now: float) -> tuple[Candidate, ...]:
    """At least one. Only a route asks for more than one try: an SDK tries three times by itself, and would multiply ours.
    The objects that the call names are only there under the key that made them. Raise ProviderKeyMissing."""
    fit = [candidate for candidate in admission.candidates if _has_address(candidate)]
    if not fit:
        raise _wrong_address(admission.candidates[0])
    made_by = call.owner.provider_key_id if call.owner else None
    own = [candidate for candidate in fit if candidate.key.context.provider_key_id == made_by]
    order = own or in_order(fit, health, now)
    return tuple(order[: MAX_TRIES if admission.route is not None and not own else 1])


def in_order(candidates: Sequence[Candidate], health: KeyHealth, now: float) -> list[Candidate]:
    waits = {
        candidate.key.context.provider_key_id: health.open_until(candidate.key.context.provider_key_id, now)
        for candidate in candidates
    }
    closed = [candidate for candidate in candidates if waits[candidate.key.context.provider_key_id] is None]
    opened = [candidate for candidate in candidates if waits[candidate.key.context.provider_key_id] is not None]
    steps = sorted({candidate.step for candidate in closed})
    ready = [one for step in steps for one in _shuffled([each for each in closed if each.step == step])]
    return ready + sorted(opened, key=lambda candidate: waits[candidate.key.context.provider_key_id] or 0.0)


def _shuffled(candidates: list[Candidate]) -> list[Candidate]:
    """By weight, the heavier the likelier to come first (Efraimidis and Spirakis, 2006)."""
    if len(candidates) < 2:
        return candidates
    return sorted(candidates, key=lambda candidate: random.random() ** (1 / candidate.weight), reverse=True)  # noqa: S311


def _has_address(candidate: Candidate) -> bool:
    """An address of its own if, and only if, its provider takes one."""
    return (candidate.key.base_url is None) is (PROVIDERS[candidate.provider].address is None)


def _wrong_address(candidate: Candidate) -> ProviderKeyMissing:
    needs = PROVIDERS[candidate.provider].address is not None
    wrong = "names no base URL, which its provider needs" if needs else "names a base URL, which its provider has"
    return ProviderKeyMissing(f"The stored provider key {wrong}. Store it again.")
