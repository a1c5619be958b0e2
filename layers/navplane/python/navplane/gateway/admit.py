"""Asking the gate: one atomic decision, and what each refusal says to the caller."""

from datetime import timedelta

from navplane.errors import (
    BudgetExceeded,
    EndpointNotAllowed,
    InvalidAPIKey,
    ModelNotAllowed,
    ModelNotFound,
    ModelUnpriced,
    NavPlaneError,
    OrganizationDisabled,
    ProviderKeyMissing,
    RateLimited,
    RegionMismatch,
    UnboundedRequest,
)
from navplane.gate.gate import Ask, Refusal, RefusalReason
from navplane.gateway.authenticate import INVALID_KEY_MESSAGE
from navplane.gateway.background import lease_of
from navplane.gateway.call import Call
from navplane.gateway.route import offering_of
from navplane.model.usage import FILES_AND_BATCHES

# A reservation outlives the longest that its request can take: the reaper must never close what is still running.
LEASE_MARGIN = timedelta(seconds=60)


def ask_of(call: Call, *, key_digest: bytes, seconds_left: float) -> Ask:
    assert call.route is not None
    return Ask(
        request_id=call.request_id,
        key_digest=key_digest,
        endpoint=call.route.endpoint,
        provider=call.provider.name if call.provider else None,
        model=call.model,
        region=call.region,
        stream=call.stream,
        lease=lease_of(call) if call.background else timedelta(seconds=max(0.0, seconds_left)) + LEASE_MARGIN,
        worst=call.worst,
        dialect=call.dialect,
        pinned=call.route.provider is not None,
        offering=offering_of(call.route),
        attributes=call.attributes,
        touches_files=call.route.endpoint in FILES_AND_BATCHES,
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
        case RefusalReason.ENDPOINT_NOT_ALLOWED:
            return EndpointNotAllowed(
                "Files and batches are off here. An administrator lets a key, a workspace or the organization use them "
                "(allow_files of a policy)."
            )
        case RefusalReason.MODEL_NOT_FOUND:
            return ModelNotFound(f"No provider here serves the model {detail!r}. GET /v1/models lists what there is.")
        case RefusalReason.MODEL_NOT_ALLOWED:
            return ModelNotAllowed(
                f"This organization does not allow {detail!r}{_asked_for(call)}. Its administrator sets what is allowed."
            )
        case RefusalReason.PROVIDER_KEY_MISSING:
            return ProviderKeyMissing(
                f"This organization has no provider key for {provider}. An administrator adds one with "
                f'POST /admin/orgs/{_org(refusal)}/provider-keys {{"provider": "{provider}", "label": "…", "api_key": "…"}}.'
            )
        case RefusalReason.MODEL_UNPRICED:
            return ModelUnpriced(
                f"There is a budget in USD and no known price for {detail!r}. An administrator can let models without a price "
                "pass that limit (allow_unpriced)."
            )
        case RefusalReason.UNBOUNDED_REQUEST:
            return UnboundedRequest(
                f"Nothing bounds what this request to {detail!r} may use, and a strict limit applies. Set a maximum for its "
                "output, and for the uses of the provider's own tools, or use a model whose limits are known."
            )
        case RefusalReason.BUDGET_EXCEEDED:
            return BudgetExceeded(f"{_limit(refusal)} is spent, or this request could overspend it. {_reset(refusal)}")
        case RefusalReason.RATE_LIMITED:
            return RateLimited(f"{_limit(refusal)} is reached. {_reset(refusal)}", retry_after=refusal.retry_after)


def _asked_for(call: Call) -> str:
    """Every request of a batch asks for one model, so the first one does."""
    return ", which line 1 asks for" if call.plan is not None else ""


def refused(reason: RefusalReason, call: Call) -> NavPlaneError:
    """Why an admitted request may not go on after all."""
    return error_of(Refusal(reason=reason, caller=call.caller), call)


def _limit(refusal: Refusal) -> str:
    """`key requests_per_minute`, for people."""
    scope, _, kind = refusal.detail.partition(" ")
    return f"The {scope}'s limit of {kind.replace('usd', 'USD').replace('_', ' ')}"


def _reset(refusal: Refusal) -> str:
    if refusal.resets_at is None:
        return "There is room again when another stream has ended."
    return f"It resets at {refusal.resets_at:%Y-%m-%dT%H:%M:%SZ}."


def _org(refusal: Refusal) -> str:
    return str(refusal.caller.org_id) if refusal.caller else "{org_id}"
