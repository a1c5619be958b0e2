"""Plaintext credentials in logs: everything that anything in the process logs, at the chattiest level, is looked through."""

import base64
import logging
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from navplane.crypto.api_key import new_api_key
from navplane.telemetry import logger

from tests.regressions.conftest import Application
from tests.support.canary import found
from tests.support.canary_watch import CanaryWatch, watched
from tests.support.gateway import PROVIDER_SECRET, exchange
from tests.support.log_lines import captured_log
from tests.support.provider import Cut, FakeProvider, Step, answer, json_answer, stream

CHAT = "/v1/chat/completions"
BODY = b'{"model":"gpt-5","stream":true,"messages":[]}'
ECHO = [("x-debug", f"Bearer {PROVIDER_SECRET}"), ("content-type", "application/json")]
ANSWERS: list[list[Step]] = [
    json_answer(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'),
    stream([b"data: [DONE]\n\n"], headers=ECHO[:1]),
    answer("401 Unauthorized", headers=ECHO, body=f'{{"error":"no such key {PROVIDER_SECRET}"}}'.encode()),
    answer("500 Oops", headers=ECHO, body=PROVIDER_SECRET.encode()),
    answer("302 Found", headers=[("location", f"https://evil.example/?key={PROVIDER_SECRET}")]),
    stream([b'data: {"choices":[]}\n\n', Cut()], end=False),
    [b"HTTP/1.1 999 what\r\nbroken\r\n\r\n"],
]


@pytest.fixture
def chatty() -> Iterator[None]:
    """As somebody who looks for a fault would have it."""
    names = [None, "asyncio", "uvicorn.error", "aiohttp", "aiohttp.client"]
    loggers = [logging.getLogger(name) for name in names]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.DEBUG)
    yield
    for each, level in zip(loggers, levels, strict=True):
        each.setLevel(level)


def said(application: Application, target: str, credential: str) -> None:
    """By hand: a client of this process would log what it sends."""
    key, length = application.key, len(BODY)
    headers = f"host: x\r\n{credential}\r\nuser-agent: agent {key}\r\nx-debug: {key}\r\nconnection: close\r\n"
    framing = f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    assert exchange(application.server.port, f"POST {target} HTTP/1.1\r\n{headers}{framing}".encode() + BODY)


def test_plaintext_authorization_in_logs(chatty: None, application: Application, provider: FakeProvider) -> None:
    unknown, malformed = new_api_key("np_"), "sk-live-somebody-else-0123456789abcdef"
    canaries = (application.key, unknown, malformed, PROVIDER_SECRET)
    with ExitStack() as open_, watched(*canaries) as watch:
        lines = open_.enter_context(captured_log())
        for script in ANSWERS:
            provider.script(script)
            said(application, CHAT, f"authorization: Bearer {application.key}")
        for presented in (f"Bearer {unknown}", f"Bearer {malformed}", f"Basic {malformed}", application.key):
            said(application, CHAT, f"authorization: {presented}")
        said(application, f"{CHAT}?key={application.key}", f"x-api-key: {application.key}")
        said(application, f"/v1/{application.key}", f"api-key: {application.key}")
        application.server.log.wait_for(len(ANSWERS), org_id=application.org_id)
    assert lines.getvalue().count('"request"') >= len(ANSWERS), "the log was looked at while it was written"
    assert watch.hits == []
    assert [canary for canary in canaries if found(canary, lines.getvalue().encode())] == []
    rows = "".join(event.to_json() for event in application.server.log.of(application.org_id))
    assert [canary for canary in canaries if found(canary, rows.encode())] == []


@pytest.mark.parametrize("logs", ["message", "extra", "base64"])
def test_whoever_logs_the_header_is_caught(logs: str) -> None:
    """The bug itself, in three guises."""
    canary, watch = "np_a-canary-of-this-test-alone", CanaryWatch(["np_a-canary-of-this-test-alone"])
    lines = {"message": f"Authorization: Bearer {canary}", "extra": "headers", "base64": "Basic " + _base64(f"user:{canary}")}
    logger.addHandler(watch)
    try:
        logger.info(lines[logs], extra={"headers": {"authorization": canary}} if logs == "extra" else {})
    finally:
        logger.removeHandler(watch)  # type: ignore[attr-defined]  # Powertools passes it on to logging
    assert len(watch.hits) == 1


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
