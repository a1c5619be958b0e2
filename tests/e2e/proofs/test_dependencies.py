"""Whatever is away, slow or broken: the client gets the answer that stands for it, and no row is lost.

tests/e2e/faults takes one dependency of ours away before a call; here they go in the middle of one, two at once, or fall
silent, and the provider misbehaves.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.proofs.surfaces import ANTHROPIC, OPENAI, SURFACES, Surface, name_of
from tests.e2e.proofs.transcripts import MESSAGES
from tests.support.demo_upstream import DemoUpstreamClient
from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization
from tests.support.provider import Close, FakeProvider, Hang, Pause, Step, json_answer, stream

ANSWERS = {
    "openai": b'{"model":"gpt-5","usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}}',
    "anthropic": b'{"model":"claude-opus-5","usage":{"input_tokens":11,"output_tokens":3}}',
}


def call(cloud: LocalCloud, organization: Organization, surface: Surface, **changes: Any) -> httpx2.Response:
    with httpx2.Client(trust_env=False, timeout=60) as client:
        body = surface.body(**changes)
        return client.post(cloud.base_url + surface.path, json=body, headers=surface.asked(organization.api_key))


# -- the provider ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What the demo upstream is asked to do wrong, the status and word of our own error (None: the provider's answer passes as
    it is), and what the row says."""

    model: str
    status: int
    openai: str | None = None
    anthropic: str | None = None
    retry: str | None = None
    row: tuple[int, str, str | None, str]


REJECTED = Fault(
    model="demo-401",
    status=502,
    openai="provider_key_rejected",
    anthropic="api_error",
    retry="false",
    row=(502, "failed", "provider_key_rejected", "exact"),
)
FAULTS = [
    REJECTED,
    Fault(
        model="demo-403",
        status=502,
        openai="provider_key_rejected",
        anthropic="api_error",
        retry="false",
        row=REJECTED.row,
    ),
    Fault(
        model="demo-redirect",
        status=502,
        openai="upstream_redirected",
        anthropic="api_error",
        retry="false",
        row=(502, "failed", "upstream_redirected", "exact"),
    ),
    Fault(model="demo-400", status=400, row=(400, "failed", "upstream_error", "exact")),
    Fault(model="demo-429", status=429, row=(429, "failed", "upstream_error", "exact")),
    Fault(model="demo-500", status=500, row=(500, "failed", "upstream_error", "exact")),
    Fault(model="demo-529", status=529, row=(529, "failed", "upstream_error", "exact")),
    Fault(model="demo-slow-300ms", status=200, row=(200, "ok", None, "exact")),
    Fault(model="demo-no-usage", status=200, row=(200, "ok", None, "estimated")),
]
PASSED_DOWN = ("retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "request-id", "content-type")


@pytest.mark.parametrize("surface", SURFACES, ids=name_of)
def test_what_a_provider_does_wrong_has_its_answer_and_its_row(
    surface: Surface, cloud: LocalCloud, organization: Organization, upstream: DemoUpstreamClient
) -> None:
    before = upstream.requests()[-1].id
    answers = [call(cloud, organization, surface, model=fault.model) for fault in FAULTS]
    sent = upstream.requests(since=before)
    # One request each: nothing was tried again, and nobody followed the redirect.
    assert [json.loads(captured.body)["model"] for captured in sent] == [fault.model for fault in FAULTS]
    for fault, answer, captured in zip(FAULTS, answers, sent, strict=True):
        word = fault.openai if surface is OPENAI else fault.anthropic
        if word is not None:
            assert surface.refusal(answer) == (fault.status, word)
            assert answer.headers.get("x-should-retry") == fault.retry
            assert "location" not in answer.headers
        else:
            assert (answer.status_code, answer.content) == (fault.status, captured.answer_body)
            native = dict(captured.raw["answer"]["headers"])
            assert [answer.headers.get(name) for name in PASSED_DOWN] == [native.get(name) for name in PASSED_DOWN]
    rows = organization.wait_for_rows(len(FAULTS))
    assert [ending(row) for row in rows] == [fault.row for fault in FAULTS]
    assert rows[7]["duration_ms"] >= 300
    unbilled = [row for row in rows if row["status"] != 200]
    assert {row["total_tokens"] for row in unbilled} == {0}


def ending(row: dict[str, Any]) -> tuple[int, str, str | None, str]:
    return row["status"], row["outcome"], row["error_code"], row["usage_quality"]


@pytest.mark.parametrize("surface", SURFACES, ids=name_of)
def test_an_answer_that_is_cut_is_never_taken_for_whole(
    surface: Surface, cloud: LocalCloud, organization: Organization
) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        call(cloud, organization, surface, model="demo-cut")
    streamed = call(cloud, organization, surface, model="demo-cut", stream=True)
    last = streamed.content.strip().split(b"\n\n")[-1]
    assert last.startswith(b"event: error\n") is (surface is ANTHROPIC)
    error = error_in(last)
    assert (error.get("code") or error["type"]) == ("upstream_cut" if surface is OPENAI else "api_error")
    rows = organization.wait_for_rows(2)
    assert [ending(row) for row in rows] == [(200, "failed", "upstream_cut", "estimated")] * 2
    assert all(row["total_tokens"] > 0 for row in rows)


@pytest.mark.parametrize("surface", SURFACES, ids=name_of)
def test_a_provider_that_is_down_is_a_502_and_passes_by_itself(
    surface: Surface, cloud: LocalCloud, played: Organization, provider: FakeProvider
) -> None:
    provider.script(json_answer(ANSWERS[surface.name]))
    word = "upstream_unreachable" if surface is OPENAI else "api_error"
    with provider.down():
        refused = call(cloud, played, surface, model=surface.native)
        assert surface.refusal(refused) == (502, word)
        # No byte of it was sent, so the SDK may try again.
        assert "x-should-retry" not in refused.headers
    assert call(cloud, played, surface, model=surface.native).status_code == 200
    provider.script([Close()])
    hung_up = call(cloud, played, surface, model=surface.native)
    assert surface.refusal(hung_up) == (502, word)
    rows = played.wait_for_rows(3)
    assert [(*ending(row), row["attempts"], row["total_tokens"] > 0) for row in rows] == [
        (502, "failed", "upstream_unreachable", "exact", 2, False),
        (200, "ok", None, "exact", 1, True),
        # It had the whole request and may bill it.
        (502, "failed", "upstream_unreachable", "estimated", 1, True),
    ]


# -- our own dependencies, in the middle of a call -------------------------------------------------------------------------


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def held_answer(surface: Surface) -> tuple[list[Step], Pause]:
    pause = Pause()
    return [pause, *json_answer(ANSWERS[surface.name])], pause


@contextmanager
def call_under_way(
    cloud: LocalCloud, organization: Organization, provider: FakeProvider, surface: Surface, thread: ThreadPoolExecutor
) -> Iterator[list[httpx2.Response]]:
    """Inside the block the provider has the request; it answers at its end, and the answer is in the list afterwards."""
    steps, pause = held_answer(surface)
    provider.script(steps)
    before, answers = len(provider.requests), list[httpx2.Response]()
    calling = thread.submit(call, cloud, organization, surface, model=surface.native)
    provider.wait_for_requests(before + 1)
    try:
        yield answers
    finally:
        pause.release()
        answers.append(calling.result(timeout=60))


def assert_agrees(row: dict[str, Any], answer: httpx2.Response) -> None:
    """The row tells what the client saw: an open call is ended when nobody could confirm it for two seconds."""
    assert row["request_id"] == answer.headers["x-navplane-request-id"]
    assert (row["status"], row["outcome"]) == (answer.status_code, "ok" if answer.is_success else "terminated")
    assert (row["usage_quality"], row["total_tokens"]) == ("exact", 14) or not answer.is_success


@pytest.mark.parametrize("surface", SURFACES, ids=name_of)
def test_a_call_under_way_outlives_a_restart_of_postgres_with_its_row(
    surface: Surface, cloud: LocalCloud, played: Organization, provider: FakeProvider, thread: ThreadPoolExecutor
) -> None:
    with call_under_way(cloud, played, provider, surface, thread) as answers, cloud.without_postgres():
        pass
    [row] = played.wait_for_rows(1)
    assert_agrees(row, answers[0])


def test_a_call_whose_end_meets_neither_postgres_nor_sqs_is_in_the_log_and_replayed_from_there(
    cloud: LocalCloud, played: Organization, provider: FakeProvider, thread: ThreadPoolExecutor, tmp_path: Path
) -> None:
    # What the writer had in hand and could not acknowledge would only come back after minutes.
    cloud.wait_until_delivered()
    said = len(cloud.log.lines)
    with ExitStack() as outages:
        with call_under_way(cloud, played, provider, OPENAI, thread) as answers:
            outages.enter_context(cloud.without_postgres())
            outages.enter_context(cloud.without_aws())
        cloud.settle("ProxyFunction")
    assert played.rows() == []
    log = log_since(cloud, said, tmp_path)
    assert replay(cloud, log) == {"replayed": 1}
    [row] = played.wait_for_rows(1)
    assert_agrees(row, answers[0])
    # Replaying once more is harmless.
    assert replay(cloud, log) == {"replayed": 1}
    cloud.wait_until_delivered()
    assert played.rows() == [row]


def log_since(cloud: LocalCloud, said: int, directory: Path) -> Path:
    log = directory / "functions.log"
    log.write_text("\n".join(line for _, line in cloud.log.lines[said:]))
    return log


def replay(cloud: LocalCloud, log: Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "navplane_cli.main", "ledger", "replay", str(log), "--json"],
        env=os.environ | cloud.aws_variables() | {"QUEUE_URL": cloud.queue_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kms_and_sqs_that_are_down_are_a_503_before_the_provider_is_called_and_rows_all_the_same(
    cloud: LocalCloud, organization: Organization, upstream: DemoUpstreamClient
) -> None:
    cloud.wait_until_delivered()
    before = upstream.requests()[-1].id
    with cloud.without_aws():
        # No environment is left that has opened the key before.
        cloud.kill("ProxyFunction")
        for surface in SURFACES:
            refused = call(cloud, organization, surface)
            assert surface.refusal(refused) == (503, "key_unavailable" if surface is OPENAI else "api_error")
            assert int(refused.headers["retry-after"]) <= 2
        cloud.settle("ProxyFunction")
    assert upstream.requests(since=before) == []
    # Their events are in the table that the proxy can reach.
    assert json.loads(cloud.invoke("MaintenanceFunction"))["events_recorded"] == len(SURFACES)
    assert [call(cloud, organization, surface).status_code for surface in SURFACES] == [200, 200]
    rows = organization.wait_for_rows(4)
    assert [ending(row) for row in rows] == [(503, "failed", "key_unavailable", "exact")] * 2 + [(200, "ok", None, "exact")] * 2
    assert [row["total_tokens"] > 0 for row in rows] == [False, False, True, True]


def test_open_streams_that_nobody_can_confirm_end_with_an_error_and_keep_their_rows(
    cloud: LocalCloud, played: Organization, provider: FakeProvider
) -> None:
    """The kill switch can't be read any more: they fail closed, and the rows come when Postgres is back."""
    first = MESSAGES.events[0]
    provider.script(stream([first, Hang()]))
    with ExitStack() as opened:
        client = opened.enter_context(httpx2.Client(trust_env=False, timeout=60))
        streams = {}
        for surface in SURFACES:
            body, headers = surface.body(model=surface.native, stream=True), surface.asked(played.api_key)
            url = cloud.base_url + surface.path
            answer = opened.enter_context(client.stream("POST", url, json=body, headers=headers))
            streams[surface.name] = answer.iter_raw()
            assert next(streams[surface.name]) == first
        with cloud.without_postgres():
            last_words = {name: b"".join(received) for name, received in streams.items()}
    assert last_words["anthropic"].startswith(b"event: error\n")
    assert error_in(last_words["anthropic"])["type"] == "api_error"
    assert last_words["openai"].startswith(b"data: ")
    assert error_in(last_words["openai"])["code"] == "unavailable"
    rows = played.wait_for_rows(len(SURFACES))
    assert {ending(row) for row in rows} == {(200, "terminated", "unavailable", "estimated")}


def error_in(event: bytes) -> Any:
    return json.loads(event.rpartition(b"data: ")[2])["error"]


def test_postgres_that_is_away_or_silent_is_a_503_of_which_nothing_is_left(
    cloud: LocalCloud, organization: Organization, upstream: DemoUpstreamClient
) -> None:
    """How long each refusal took is printed. A silent Postgres may have admitted the call: nobody is ever charged for it."""
    assert call(cloud, organization, OPENAI).status_code == 200
    before = upstream.requests()[-1].id
    for outage in (cloud.without_postgres, cloud.silent_postgres):
        with outage():
            for surface in SURFACES:
                began = time.monotonic()
                refused = call(cloud, organization, surface)
                print(f"{outage.__name__}, {surface.name}: 503 after {1000 * (time.monotonic() - began):.0f} ms")
                assert surface.refusal(refused) == (503, "unavailable" if surface is OPENAI else "api_error")
                assert int(refused.headers["retry-after"]) <= 2
    assert upstream.requests(since=before) == []
    assert call(cloud, organization, OPENAI).status_code == 200
    cloud.wait_until_delivered()
    rows = organization.rows()
    assert [row["status"] for row in rows if row["status"] != 503] == [200, 200]
    assert {(row["outcome"], row["total_tokens"]) for row in rows if row["status"] == 503} <= {("failed", 0)}
    assert open_reservations(cloud, organization) == []


def open_reservations(cloud: LocalCloud, organization: Organization) -> list[Any]:
    """Those that nobody knows the organization of included."""
    with cloud.superuser() as connection:
        rows: list[Any] = connection.run(
            "SELECT request_id FROM public.reservations WHERE state <> 'final' AND coalesce(org_id, :org) = :org",
            org=organization.id,
        )
    return rows
