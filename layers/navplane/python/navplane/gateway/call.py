"""What is known of one request so far, from its first header to its last byte."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from navplane.gate.gate import Caller, Owner
from navplane.gateway.asgi import RawHeaders
from navplane.gateway.content import Capture
from navplane.gateway.meter import Meter
from navplane.gateway.route import Route
from navplane.model.dialect import Dialect
from navplane.model.ids import RequestId, new_request_id
from navplane.model.limit import Worst
from navplane.model.provider_key import SealedProviderKey
from navplane.model.tenancy import Region
from navplane.model.usage import Outcome, Usage
from navplane.upstream.provider import Provider


@dataclass(slots=True, kw_only=True)
class Call:
    """Filled in along the way. `started` and `deadline` are seconds of the monotonic clock; only Lambda has a deadline.

    `uncertain`: the gate is asked, or was and fell silent, and may have reserved. `given_up`: nobody waits for its answer.
    `admitted`: when the gate was asked, if it admitted. `written`: bytes of the request may have reached the provider, which
    may bill them. `attributes`: what routes may look at (gate.Ask). `upstream_model`: what the provider is called with.
    `units`: what is asked for that is not counted in tokens. `continues`: the response that the body builds on. `owner`: of the
    objects that the call names. `background`: the response that is made is not waited for. `bound`: what was made is bound.
    `content`: what is kept of the bodies, where the workspace wants that. `outcome` stays None until the call has ended.
    """

    region: Region
    headers: RawHeaders
    dialect: Dialect
    started_at: datetime
    started: float
    deadline: float | None
    route: Route | None = None
    provider: Provider | None = None
    model: str | None = None
    upstream_model: str | None = None
    stream: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    request_bytes: int = 0
    worst: Worst = field(default_factory=lambda: Worst(input_tokens=0, output_tokens=0))
    content: Capture | None = None
    units: Usage = field(default_factory=Usage)
    uncertain: bool = False
    given_up: bool = False
    admitted: float | None = None
    caller: Caller | None = None
    candidate: SealedProviderKey | None = None
    continues: str | None = None
    background: bool = False
    bound: bool = False
    owner: Owner | None = None
    attempts: int = 0
    written: bool = False
    meter: Meter | None = None
    provider_request_id: str | None = None
    first_byte: float | None = None
    ended: float | None = None
    status: int | None = None
    response_bytes: int = 0
    outcome: Outcome | None = None
    error_code: str | None = None
    _request_id: RequestId | None = None

    @property
    def request_id(self) -> RequestId:
        """Made when it is first asked for: by the admission, whose time it tells, or by the error that comes before one."""
        if self._request_id is None:
            self._request_id = new_request_id(datetime.now(UTC))
        return self._request_id
