"""Asking the gate: one atomic decision, and what each refusal says to the caller."""

from datetime import timedelta

from navplane.errors import (
    BudgetExceeded,
    InvalidAPIKey,
    ModelNotAllowed,
    ModelNotFound,
    NavPlaneError,
    OrganizationDisabled,
    ProviderKeyMissing,
    RateLimited,
    RegionMismatch,
)
from navplane.gate.gate import Ask, Charge, Refusal, RefusalReason
from navplane.gateway.authenticate import INVALID_KEY_MESSAGE
from navplane.gateway.call import Call
from navplane.gateway.meter import estimate_tokens

# A reservation outlives the longest that its request can take: the reaper must never close what is still running.
LEASE_MARGIN = timedelta(seconds=60)


def ask_of(call: Call, *, key_digest: bytes, seconds_left: float) -> Ask:
    """`reserve` is the worst case: all of the request as input, and as much output as it allows."""
    assert call.route is not None
    return Ask(
        request_id=call.request_id,
        key_digest=key_digest,
        endpoint=call.route.endpoint,
        provider=call.provider.name if call.provider else None,
        model=call.model,
        region=call.region,
        stream=call.stream,
        lease=timedelta(seconds=max(0.0, seconds_left)) + LEASE_MARGIN,
        reserve=Charge(tokens=estimate_tokens(call.request_bytes) + call.output_limit),
    )


def error_of(refusal: Refusal, call: Call) -> NavPlaneError:
    provider = call.provider.name if call.provider else ""
    detail = refusal.detail or call.model or provider
    match refusal.reason:
        case RefusalReason.INVALID_KEY:
            return InvalidAPIKey(INVALID_KEY_MESSAGE)
        case RefusalReason.ORGANIZATION_DISABLED:
            return OrganizationDisabled("This organization is disabled. Its administrator can enable it again.")
        case RefusalReason.REGION_MISMATCH:
            return RegionMismatch("This key's workspace belongs to another region. Use the base URL of that region.")
        case RefusalReason.MODEL_NOT_FOUND:
            return ModelNotFound(f"No provider here serves the model {detail!r}. GET /v1/models lists what there is.")
        case RefusalReason.MODEL_NOT_ALLOWED:
            return ModelNotAllowed(f"This organization does not allow {detail!r}. Its administrator sets what is allowed.")
        case RefusalReason.PROVIDER_KEY_MISSING:
            return ProviderKeyMissing(
                f"This organization has no provider key for {provider}. An administrator adds one with "
                f'POST /admin/orgs/{_org(refusal)}/provider-keys {{"provider": "{provider}", "label": "…", "api_key": "…"}}.'
            )
        case RefusalReason.BUDGET_EXCEEDED:
            return BudgetExceeded("The budget of this key or organization is spent.")
        case RefusalReason.RATE_LIMITED:
            return RateLimited("Too many requests. Slow down and try again.", retry_after=refusal.retry_after)


def refused(reason: RefusalReason, call: Call) -> NavPlaneError:
    """Why an admitted request may not go on after all."""
    return error_of(Refusal(reason=reason, caller=call.caller), call)


def _org(refusal: Refusal) -> str:
    return str(refusal.caller.org_id) if refusal.caller else "{org_id}"
