"""What the generating endpoints share: the parsed call with its script, and how an answer leaves under that script."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from navplane_local.demo_upstream.exchange import Answer, Headers, ProviderError, Request, json_answer, to_json
from navplane_local.demo_upstream.refusal import of_status
from navplane_local.demo_upstream.reply import Reply
from navplane_local.demo_upstream.script import Script
from navplane_local.demo_upstream.stream import Gates, Player, whole_or_broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One generating call. `now` is in Unix seconds."""

    request: Request
    body: dict[str, Any]
    model: str
    script: Script
    gates: Gates
    now: int

    @classmethod
    def of(cls, request: Request, *, gates: Gates, now: int) -> "Served":
        """Read the call; raise what its script asks for before anything is generated."""
        body = request.json()
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise ProviderError(400, "you must provide a model parameter", param="model")
        script = Script.of(request, model)
        _refuse(request, model, script)
        return cls(request=request, body=body, model=model, script=script, gates=gates, now=now)

    def list_of(self, name: str) -> list[dict[str, Any]]:
        value = self.body.get(name)
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            message = f"Missing required parameter: '{name}'." if value is None else f"Invalid type for '{name}'."
            raise ProviderError(400, message, param=name)
        return value

    def whole(self, value: dict[str, Any], *, headers: Headers) -> Answer:
        answer = json_answer(value, headers=headers, delay_seconds=self.script.delay_seconds)
        return whole_or_broken(answer, self.script, to_json(value))

    def streamed(self, events: Sequence[bytes], *, error: bytes, headers: Headers) -> Answer:
        player = Player(request=self.request, script=self.script, gates=self.gates)
        return player.answer(events, error=error, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    served: Served
    reply: Reply
    id: str


def _refuse(request: Request, model: str, script: Script) -> None:
    if script.has("no-such"):
        raise unknown_model(model)
    if script.status is not None:
        raise of_status(script.status)
    if script.has("redirect"):
        elsewhere = f"http://{request.header('host')}/_demo/redirected"
        raise ProviderError(307, "Temporary redirect.", headers=(("location", elsewhere),))
    if script.has("echo-key"):
        raise ProviderError(400, f"Your key is {request.key}.", headers=(("x-demo-echo", request.key or ""),))


def unknown_model(model: str) -> ProviderError:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return ProviderError(404, message, code="model_not_found")
