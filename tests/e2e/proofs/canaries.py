"""A NavPlane that was used in every way with canaries, through faults and to its end, and all that it left behind."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2

from tests.e2e.proofs.surfaces import OPENAI, SURFACES, Surface, as_json
from tests.support.canary import found
from tests.support.demo_upstream import DemoUpstreamClient
from tests.support.local_cloud import LocalCloud, running_cloud, temporary_state
from tests.support.organization import Organization

FAULTS = ["demo", "demo-echo-key", "demo-401", "demo-429", "demo-500", "demo-redirect", "demo-no-usage", "demo-cut"]
# Signs that differ when they are escaped for JSON, for a URL, or in base64.
AWKWARD = "+/=%&\"'<>\\"


@dataclass(frozen=True, slots=True)
class Canary:
    """`core` is in every spelling that leaves letters and digits alone."""

    text: str
    core: str

    @classmethod
    def hatch(cls, prefix: str, suffix: str = "") -> "Canary":
        core = uuid4().hex
        return cls(prefix + core + suffix, core)

    def is_in(self, place: bytes) -> bool:
        return self.core.encode() in place or found(self.text, place) != []


@dataclass(slots=True)
class Evidence:
    """Bytes by place, canaries by name; and what must be in each place, so that looking there means something."""

    canaries: dict[str, Canary]
    places: dict[str, bytes] = field(default_factory=dict)
    controls: dict[str, bytes] = field(default_factory=dict)


def hatch_all() -> dict[str, Canary]:
    return {
        "openai's key": Canary.hatch("sk-demo-canary-", AWKWARD),
        "anthropic's key": Canary.hatch("sk-demo-canary-"),
        "refused provider key": Canary.hatch("sk-bad-canary-", AWKWARD),
        "cookie": Canary.hatch("session=canary"),
        "foreign credential": Canary.hatch("sk-proj-canary-", AWKWARD),
        "other credential headers": Canary.hatch("canary-"),
        "key in the query": Canary.hatch("canary"),
        "prompt": Canary.hatch("A canary's prompt, “Grüße”: ", ' "quoted" \\ and 你好'),
    }


@contextmanager
def collected() -> Iterator[Evidence]:
    evidence = Evidence(hatch_all())
    with temporary_state() as state_dir:
        with running_cloud(state_dir, grace_seconds=1) as cloud:
            Witness(cloud, evidence).live()
        evidence.places["queue"] = b"".join(path.read_bytes() for path in sorted((state_dir / "undelivered").iterdir()))
        evidence.places["disk"] = b"".join(disk(state_dir))
        yield evidence


def disk(state_dir: Path) -> Iterator[bytes]:
    """Every file of the state directory: Postgres's own with its write-ahead log, its server's log, what was undelivered."""
    for path in sorted(state_dir.resolve().rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.read_bytes()


class Witness:
    """Uses a NavPlane as its callers and its administrator, and keeps all that they are answered."""

    def __init__(self, cloud: LocalCloud, evidence: Evidence) -> None:
        self._cloud, self._evidence, self._canaries = cloud, evidence, evidence.canaries
        self._upstream = DemoUpstreamClient(cloud.demo_url)
        self._http = httpx2.Client(trust_env=False, timeout=60)
        self._shown: dict[str, list[bytes]] = {"answers": [], "admin answers": []}
        self._organization = Organization.create(admin_url=cloud.admin_url, admin_token=cloud.admin_token, provider_keys=False)
        self._canaries["API key"] = Canary(self._organization.api_key, self._organization.api_key.removeprefix("np_"))

    def live(self) -> None:
        with self._http:
            self.administrate()
            for surface in SURFACES:
                self.call_with_faults(surface)
                self.send_nonsense(surface)
                self.present_credentials(surface)
            self.lose_dependencies()
            self.look()
            self.leave_messages_behind()

    def administrate(self) -> None:
        openai, anthropic = self._canaries["openai's key"].text, self._canaries["anthropic's key"].text
        made = [
            self._add_key("openai", openai),
            self._add_key("anthropic", anthropic),
            self._add_key("openai", self._canaries["refused provider key"].text, label="refused"),
            # And where it does not belong: under a label that is taken, in another field, in broken JSON.
            self._add_key("openai", openai),
            self._add_key(openai, "sk-demo-x"),
        ]
        assert [answer.status_code for answer in made] == [201, 201, 422, 409, 422]
        self._admin("POST", "provider-keys", content=as_json({"api_key": openai})[:-1])
        self._admin("PUT", "provider-settings", json={"block_models": ["nothing-*"]})

    def call_with_faults(self, surface: Surface) -> None:
        for model in FAULTS:
            for stream in (False, True):
                self._call(surface, self._body(surface, model, stream=stream), self._asked(surface))
        self._call(surface, self._body(surface, "demo-error-event", stream=True), self._asked(surface))

    def send_nonsense(self, surface: Surface) -> None:
        body, asked = self._body(surface, "demo"), self._asked(surface)
        doubled = body[:-1] + b',"model":"demo"}'
        for nonsense in (body[:-1], doubled, body[:-1] + b"\xff}", b"[" + body, body * 60_000):
            self._call(surface, nonsense, asked)
        self._call(surface, body, {**asked, "content-type": "text/plain"})
        self._call(surface, self._body(surface, "llama-9"), asked)

    def present_credentials(self, surface: Surface) -> None:
        body, asked = self._body(surface, "demo"), self._asked(surface)
        foreign, query = self._canaries["foreign credential"].text, self._canaries["key in the query"].text
        self._call(surface, body, {**asked, "authorization": f"Bearer {foreign}"})
        self._call(surface, body, {**asked, "x-api-key": foreign})
        self._call(surface, body, {**asked, "x-api-key": self._organization.api_key, "api-key": self._organization.api_key})
        self._call(surface, body, {**asked, "x-note": f"my key is {self._organization.api_key}"})
        self._call(surface, body, asked, query=f"?key={query}")
        self._call(surface, body, asked, query=f"?beta={self._organization.api_key}")

    def lose_dependencies(self) -> None:
        """What is away leaves lines in the logs: a fallback line with the whole event, tracebacks, a dead process. Nothing is
        in the writer's hands meanwhile: what it could not acknowledge would only come back after minutes."""
        self._cloud.wait_until_delivered()
        for outage in (self._cloud.without_aws, self._cloud.without_postgres):
            with outage():
                for surface in SURFACES:
                    self._call(surface, self._body(surface, "demo"), self._asked(surface))
                self._cloud.settle("ProxyFunction")
        body = self._body(OPENAI, "demo-gated", stream=True)
        url = self._cloud.base_url + OPENAI.path
        with self._http.stream("POST", url, content=body, headers=self._asked(OPENAI)) as answer:
            self._shown["answers"].append(next(answer.iter_raw()))
            self._cloud.kill("ProxyFunction")

    def look(self) -> None:
        """While it is running, and everything was recorded."""
        places, controls = self._evidence.places, self._evidence.controls
        self._cloud.wait_until_delivered()
        for what in ("provider-keys", "provider-settings", "requests?limit=100"):
            self._admin("GET", what)
        request_id = self._organization.rows()[0]["request_id"].encode()
        places["upstream"] = b"\n".join(self._received())
        places["database"] = self._cloud.dump().encode()
        controls |= {"upstream": b"demo-echo-key", "database": request_id, "admin answers": request_id}

    def leave_messages_behind(self) -> None:
        """Usage events that nobody records any more: they are kept, as they are, when everything stops."""
        assert self._cloud.pause("RequestLogWriterFunction")
        answers = [self._call(surface, self._body(surface, "demo"), self._asked(surface)) for surface in SURFACES]
        self._cloud.settle("ProxyFunction")
        # The first one is in the hands of the writer that stands still. Later ones may get a further writer.
        request_id = answers[0].headers["x-navplane-request-id"].encode()
        self._evidence.controls |= dict.fromkeys(("queue", "logs", "answers"), request_id)
        # A row's organization, as Postgres has it on disk.
        self._evidence.controls["disk"] = UUID(self._organization.id).bytes
        self._evidence.places |= {name: b"\n".join(shown) for name, shown in self._shown.items()}
        self._evidence.places["logs"] = self._cloud.log.text().encode()

    def _received(self) -> Iterator[bytes]:
        for captured in self._upstream.requests():
            yield captured.target.encode()
            yield from (f"{name}: {value}".encode() for name, value in captured.headers)
            yield captured.body

    def _body(self, surface: Surface, model: str, *, stream: bool = False) -> bytes:
        return as_json(surface.body(self._canaries["prompt"].text, model=model, stream=stream))

    def _asked(self, surface: Surface) -> dict[str, str]:
        """With everything else that an application might carry along by mistake."""
        other = self._canaries["other credential headers"].text
        names = ("proxy-authorization", "x-auth-token", "x-goog-api-key", "x-amz-security-token", "x-forwarded-for")
        return surface.asked(self._organization.api_key, cookie=self._canaries["cookie"].text, **dict.fromkeys(names, other))

    def _call(self, surface: Surface, body: bytes, headers: Mapping[str, str], *, query: str = "") -> httpx2.Response:
        request = self._http.build_request("POST", self._cloud.base_url + surface.path + query, content=body, headers=headers)
        answer = self._http.send(request, stream=True)
        shown = [json.dumps(answer.headers.multi_items()).encode()]
        try:
            shown += answer.iter_raw()
        except httpx2.RemoteProtocolError:
            # Some of the faults are broken answers; what came of them counts.
            shown.append(b"(broken)")
        answer.close()
        self._shown["answers"] += [shown[0], b"".join(shown[1:])]
        return answer

    def _add_key(self, provider: str, api_key: str, *, label: str = "canary") -> httpx2.Response:
        body = {"provider": provider, "label": label, "api_key": api_key}
        return self._admin("POST", "provider-keys", json=body)

    def _admin(self, method: str, what: str, **options: Any) -> httpx2.Response:
        url = f"{self._cloud.admin_url}/admin/orgs/{self._organization.id}/{what}"
        headers = {"authorization": f"Bearer {self._cloud.admin_token}", "content-type": "application/json"}
        answer = self._http.request(method, url, headers=headers, **options)
        self._shown["admin answers"] += [json.dumps(answer.headers.multi_items()).encode(), answer.content]
        return answer
