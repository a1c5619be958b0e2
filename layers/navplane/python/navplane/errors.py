"""Every way NavPlane says no: one class per reason, each with its status, a stable code and a message fit for a stranger.

`code` is a metric dimension and part of the public contract: codes are never renamed or reused.
`retry` tells an SDK whether another try can help: False renders `x-should-retry: false`.
"""

from typing import ClassVar


class NavPlaneError(Exception):
    """The root. `status` is the HTTP status on the OpenAI and admin surfaces; the Anthropic surface may differ (render)."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


# -- the request itself: refused before any dependency is asked ----------------------------------------------------------


class BadRequest(NavPlaneError):
    status = 400
    code = "bad_request"


class BadFraming(BadRequest):
    code = "bad_framing"


class BadPath(BadRequest):
    code = "bad_path"


class BadQuery(BadRequest):
    code = "bad_query"


class InvalidJSON(BadRequest):
    code = "invalid_json"


class BadMultipart(BadRequest):
    code = "invalid_multipart"


class AmbiguousModel(BadRequest):
    """`model` is missing, twice, or not a string: parsers differ on which one wins, so none is chosen."""

    code = "invalid_model"


class BadBatch(BadRequest):
    """Says which line of a batch's input, or which request of it, is not one that may be sent."""

    code = "invalid_batch"


class BadTags(BadRequest):
    code = "invalid_tags"


class AmbiguousCredentials(BadRequest):
    code = "ambiguous_credentials"


class UnknownEndpoint(NavPlaneError):
    status = 404
    code = "unknown_endpoint"


class MethodNotAllowed(NavPlaneError):
    status = 405
    code = "method_not_allowed"


class BodyTooLarge(NavPlaneError):
    status = 413
    code = "request_too_large"


class UnsupportedMediaType(NavPlaneError):
    status = 415
    code = "unsupported_media_type"


class HeadersTooLarge(NavPlaneError):
    status = 431
    code = "headers_too_large"


class LoopDetected(NavPlaneError):
    status = 508
    code = "loop_detected"


# -- the caller and what it may do ---------------------------------------------------------------------------------------


class InvalidAPIKey(NavPlaneError):
    """Unknown, malformed, revoked and expired keys answer alike, so that nobody can tell them apart."""

    status = 401
    code = "invalid_api_key"


class OrganizationDisabled(NavPlaneError):
    status = 403
    code = "organization_disabled"


class RegionMismatch(NavPlaneError):
    status = 403
    code = "region_mismatch"


class ModelNotAllowed(NavPlaneError):
    """A policy forbids the provider or the model."""

    status = 403
    code = "model_not_allowed"


class EndpointNotAllowed(NavPlaneError):
    status = 403
    code = "endpoint_not_allowed"


class ModelNotFound(NavPlaneError):
    """No provider in the registry serves this model name."""

    status = 404
    code = "model_not_found"


class ProviderKeyMissing(NavPlaneError):
    status = 400
    code = "provider_key_missing"


class ModelUnpriced(NavPlaneError):
    """A budget in USD applies and nobody knows what the model costs: it is not taken for free."""

    status = 400
    code = "model_unpriced"


class UnboundedRequest(NavPlaneError):
    """A strict limit applies, and neither the body nor what is known of the model bounds what the request may use."""

    status = 400
    code = "unbounded_request"


class BudgetExceeded(NavPlaneError):
    status = 429
    code = "budget_exceeded"


class RateLimited(NavPlaneError):
    status = 429
    code = "rate_limit_exceeded"
    retry = True


# -- the provider --------------------------------------------------------------------------------------------------------


class UpstreamError(NavPlaneError):
    """The provider did not give an answer that can be passed on. `billable`: a byte of the request may have been read."""

    status = 502
    code = "upstream_error"
    retry = True

    def __init__(self, message: str, *, billable: bool = True) -> None:
        super().__init__(message)
        self.billable = billable


class UpstreamUnreachable(UpstreamError):
    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"
    retry = False


class UpstreamRedirected(UpstreamError):
    code = "upstream_redirected"
    retry = False


class UpstreamCut(UpstreamError):
    """The provider's answer broke off after its first byte."""

    code = "upstream_cut"


class ProviderKeyRejected(UpstreamError):
    """The provider's own 401 or 403, as a 502: a caller must never believe that its np_ key is at fault."""

    code = "provider_key_rejected"
    retry = False


# -- our own dependencies: always 503, never the caller's fault ----------------------------------------------------------


class DependencyUnavailable(NavPlaneError):
    status = 503
    code = "unavailable"
    retry = True

    def __init__(self, message: str, *, retry_after: int | None = 1) -> None:
        super().__init__(message, retry_after=retry_after)


class OutcomeUnknown(DependencyUnavailable):
    """A dependency went silent after it was asked to change something: it may have happened."""


class KeyUnavailable(DependencyUnavailable):
    """A stored secret can't be opened just now: the KEK is away, or what is stored does not authenticate."""

    code = "key_unavailable"


class KekRetired(KeyUnavailable):
    """What was to be stored is sealed under a KEK that is being replaced: nothing is, any more."""

    def __init__(self) -> None:
        super().__init__("Secrets can't be stored just now: the key that seals them is being replaced.", retry_after=60)


class DecryptionError(NavPlaneError):
    """Anything wrong while opening a sealed value. One class, one message: it must not tell an attacker which check failed."""

    status = 503
    code = "key_unavailable"

    def __init__(self) -> None:
        super().__init__("The sealed value could not be opened.")


# -- the control plane ---------------------------------------------------------------------------------------------------


class Unauthenticated(NavPlaneError):
    status = 401
    code = "unauthenticated"


class Forbidden(NavPlaneError):
    status = 403
    code = "forbidden"


class NotFound(NavPlaneError):
    """Also for what exists in another organization: the two must look the same."""

    status = 404
    code = "not_found"


class Conflict(NavPlaneError):
    status = 409
    code = "conflict"


class Gone(NavPlaneError):
    """It was there, and is used up."""

    status = 410
    code = "gone"


class IdempotencyConflict(NavPlaneError):
    """The first call under the key still runs, or its answer was lost after it changed something."""

    status = 409
    code = "idempotency_conflict"


class IdempotencyMisuse(BadRequest):
    code = "idempotency_misuse"


class PreconditionFailed(NavPlaneError):
    """`If-Match` names another version than the one that is there now."""

    status = 412
    code = "precondition_failed"


class Invalid(NavPlaneError):
    status = 422
    code = "invalid"


class ProviderKeyInvalid(NavPlaneError):
    """The provider refused the key while it was being validated: nothing was stored."""

    status = 422
    code = "provider_key_invalid"


class ConfigurationError(NavPlaneError):
    """The environment does not describe a process that can start."""

    code = "configuration_error"
