"""What stands in a batch before it is sent: every request of it is read as strictly as one that comes by itself.

OpenAI's batches are files of lines (platform.openai.com/docs/guides/batch), Anthropic's are one body with all requests in it
(docs.claude.com, message batches). One batch is for one model, so that one admission decides on all of it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from navplane.errors import BadBatch, NavPlaneError
from navplane.gateway.asgi import RawHeaders
from navplane.gateway.body import ModelCall, parse, strict_object
from navplane.gateway.bounds import worst_of
from navplane.gateway.multipart import form_fields
from navplane.model.limit import Worst
from navplane.model.usage import Endpoint

# Where a line of OpenAI's may go.
TARGETS = {
    "/v1/chat/completions": Endpoint.CHAT_COMPLETIONS,
    "/v1/responses": Endpoint.RESPONSES,
    "/v1/embeddings": Endpoint.EMBEDDINGS,
}
MAX_REQUESTS = 50_000
_LINE_MEMBERS = frozenset({"custom_id", "method", "url", "body"})
# How a plan begins where it is kept, so that nothing else is taken for one.
MARK = '{"batch_plan":1,'


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """What all requests of a batch add up to. `contexts` is None where one of them may read more than its bytes, `largest` the
    most tokens that one of them can read, None where its bytes don't tell."""

    model: str
    requests: int
    input_tokens: int
    output_tokens: int | None
    contexts: int | None
    largest: int | None

    @property
    def worst(self) -> Worst:
        return Worst(input_tokens=self.input_tokens, output_tokens=self.output_tokens, contexts=self.contexts)

    def to_json(self) -> str:
        return MARK + json.dumps(asdict(self))[1:]

    @classmethod
    def from_json(cls, text: str | None) -> "BatchPlan | None":
        """None for anything that `to_json` has not written."""
        if text is None or not text.startswith(MARK):
            return None
        wire = json.loads(text)
        return cls(**{name: wire[name] for name in cls.__dataclass_fields__})


def read_upload(body: bytes, headers: RawHeaders) -> BatchPlan:
    """Of the form that uploads a batch's input. Raise BadBatch naming the line, or BadMultipart."""
    fields = form_fields(body, headers, frozenset({"purpose", "file"}))
    if fields.get("purpose", b"").strip() != b"batch":
        raise BadBatch("The only files that are taken here are the input of batches: purpose=batch.")
    return _plan(_lines(fields.get("file", b"")), "line")


def read_message_batch(body: bytes) -> BatchPlan:
    """Of Anthropic's body. Raise BadBatch naming the request."""
    requests = strict_object(body).get("requests")
    if not isinstance(requests, list):
        raise BadBatch("The body must hold the batch's `requests`.")
    return _plan(((Endpoint.MESSAGES, _member(request, "params")) for request in requests), "request")


def read_creation(body: bytes) -> str:
    """The id of the file that a batch is to be made of. Raise BadBatch."""
    file_id = strict_object(body).get("input_file_id")
    if not isinstance(file_id, str):
        raise BadBatch("The body must name the batch's `input_file_id`.")
    return file_id


def as_call(plan: BatchPlan | None) -> ModelCall:
    """In the shape of one request, for what goes by its model."""
    return ModelCall(text="", model=plan.model if plan else "", stream=False, members={}, everything=())


def _lines(text: bytes) -> Iterator[tuple[Endpoint, dict[str, Any]]]:
    for line in text.split(b"\n"):
        if not line.strip():
            continue
        found = strict_object(line)
        target = TARGETS.get(str(found.get("url")))
        if found.get("method") != "POST" or target is None or not _LINE_MEMBERS.issuperset(found):
            raise BadBatch(f"A line has custom_id, method POST, a body, and a url among {', '.join(TARGETS)}.")
        yield target, _member(found, "body")


def _member(request: object, name: str) -> dict[str, Any]:
    value = request.get(name) if isinstance(request, dict) else None
    if not isinstance(value, dict):
        raise BadBatch(f"A request has no `{name}`.")
    return value


def _plan(requests: Iterable[tuple[Endpoint, dict[str, Any]]], unit: str) -> BatchPlan:
    worsts: list[Worst] = []
    model: str | None = None
    each = iter(requests)
    while True:
        try:
            target, body = next(each, (None, {}))
            if target is None:
                break
            text = json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass")
            call = parse(text)
            worsts.append(worst_of(target, call, request_bytes=len(text)))
        except NavPlaneError as exc:
            raise BadBatch(f"In {unit} {len(worsts) + 1}: {exc.message}") from exc
        if model not in (None, call.model):
            raise BadBatch(f"In {unit} {len(worsts)}: one batch is for one model. Make a batch for each.")
        model = call.model
        if len(worsts) > MAX_REQUESTS:
            raise BadBatch(f"A batch has {MAX_REQUESTS} requests at most.")
    if model is None:
        raise BadBatch("The batch has no requests.")
    return _sum(model, worsts)


def _sum(model: str, worsts: list[Worst]) -> BatchPlan:
    outputs = [worst.output_tokens for worst in worsts if worst.output_tokens is not None]
    # One request without a bound leaves the whole without one: a limit that must hold refuses it.
    told = all(worst.contexts == 0 for worst in worsts)
    bounded = told and len(outputs) == len(worsts)
    return BatchPlan(
        model=model,
        requests=len(worsts),
        input_tokens=sum(worst.input_tokens for worst in worsts),
        output_tokens=sum(outputs) if bounded else None,
        contexts=0 if bounded else None,
        largest=max(worst.input_tokens for worst in worsts) if told else None,
    )
