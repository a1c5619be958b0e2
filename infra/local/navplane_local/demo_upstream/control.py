"""The demo upstream's own paths under `/_demo/`: what it captured, and the gates of `demo-gated`."""

from urllib.parse import parse_qs

from navplane_local.demo_upstream.capture import Captures
from navplane_local.demo_upstream.exchange import Answer, Request, json_answer
from navplane_local.demo_upstream.stream import Gates

PREFIX = "/_demo/"
# Where `demo-redirect` points: a request here was made by a client that follows redirects, so it is captured as well.
REDIRECT_TARGET = "/_demo/redirected"


def control(request: Request, captures: Captures, gates: Gates) -> Answer:
    query = {name: values[-1] for name, values in parse_qs(request.query).items()}
    parts = request.path.removeprefix(PREFIX).split("/")
    match request.method, parts:
        case "GET", ["requests"]:
            found = captures.since(_number(query.get("since"), 0))
            return json_answer({"requests": [captured.render() for captured in found]})
        case "DELETE", ["requests"]:
            captures.clear()
            return json_answer({"requests": []})
        case "POST", ["release", capture_id] if capture_id.isdecimal():
            gates.release(int(capture_id), _number(query.get("events"), 1))
            return json_answer({"released": int(capture_id)})
        case _:
            return json_answer({"error": f"nothing at {request.method} {request.path}"}, status=404)


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
