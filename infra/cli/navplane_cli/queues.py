"""Which queue an operator's command works on: the one that the environment names, or that of `navplane up`."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit


def usage_queue(env: Mapping[str, str]) -> str | None:
    """The URL of the queue of usage events; None where there is none but the table of `navplane serve`."""
    return _reachable(env.get("QUEUE_URL") or env.get("NAVPLANE_QUEUE_URL"))


def dead_letter_queue(env: Mapping[str, str]) -> str | None:
    return _reachable(env.get("DEAD_LETTER_QUEUE_URL") or env.get("NAVPLANE_DEAD_LETTER_QUEUE_URL"))


def _reachable(queue_url: str | None) -> str | None:
    """The queues of `navplane up` are at an emulator on this machine, which takes any credentials."""
    parts = urlsplit(queue_url or "")
    if parts.hostname in ("127.0.0.1", "localhost"):
        local = {"AWS_ENDPOINT_URL": f"http://{parts.netloc}", "AWS_DEFAULT_REGION": "us-east-1"}
        credentials = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
        for name, value in {**local, **credentials}.items():
            os.environ.setdefault(name, value)
    return queue_url or None
