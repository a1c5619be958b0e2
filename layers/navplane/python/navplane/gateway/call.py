"""What is known of one request so far, from its first header to its last byte."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from navplane.gate.gate import Caller, Candidate, Owner
from navplane.gateway.asgi import RawHeaders
from navplane.gateway.batches import BatchPlan
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a provider: the status of its answer, or the code of the error that came in its place."""

    provider: str
    provider_key_id: UUID
    model: str | None
    status: int | None
    error: str | None
    milliseconds: int


@dataclass(slots=True, kw_only=True)
class Call:
    """Filled in along the way. `started` and `deadline` are seconds of the monotonic clock; only Lambda has a deadline.

    `uncertain`: the gate is asked, or was and fell silent, and may have reserved. `given_up`: nobody waits for its answer.
    `admitted`: when the gate was asked, if it admitted; `remembered` instead, if it can't answer and this is what it said
    then. `outlasts_gate`: the call may go on for a while without it (gate.Admission). `written`: bytes of the request may have
    reached the provider, which may bill them. `attributes`: what routes may look at (gate.Ask). `upstream_model`: what the
    provider is called with. `route_name`, `workflow_version`: of the route that the admission took. `tried`: each try that has
    ended. `spent_before`: one of them failed and may have cost something. `units`: what is asked for that is not counted in
    tokens. `continues`: the object that the body builds on (a response, a batch's input). `owner`: of the objects that the
    call names. `background`: what is made is not waited for. `bound`: it is bound. `plan`: what the requests of a batch add up
    to. `content`: what is kept of the bodies, where the workspace wants that. `outcome` stays None until the call has ended.
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
    plan: BatchPlan | None = None
    content: Capture | None = None
    units: Usage = field(default_factory=Usage)
    uncertain: bool = False
    given_up: bool = False
    admitted: float | None = None
    remembered: float | None = None
    outlasts_gate: bool = False
    caller: Caller | None = None
    candidate: SealedProviderKey | None = None
    continues: str | None = None
    background: bool = False
    bound: bool = False
    owner: Owner | None = None
    attempts: int = 0
    route_name: str | None = None
    workflow_version: UUID | None = None
    tried: list[Attempt] = field(default_factory=list)
    spent_before: bool = False
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

    def turn_to(self, candidate: Candidate, provider: Provider) -> None:
        """The next try: of this one nothing was written yet."""
        self.candidate, self.upstream_model, self.provider = candidate.key, candidate.model, provider
        self.written = False

    @property
    def request_id(self) -> RequestId:
        """Made when it is first asked for: by the admission, whose time it tells, or by the error that comes before one."""
        if self._request_id is None:
            self._request_id = new_request_id(datetime.now(UTC))
        return self._request_id
