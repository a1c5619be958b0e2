"""Once the kill switch, a rotation or a deletion is acknowledged, the very next call is refused, in warm environments and
under load, and no byte of it reaches the provider. Once it is undone, the very next call passes."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import httpx2
import pytest

from tests.e2e.proofs.surfaces import OPENAI, SURFACES, Surface
from tests.support.demo_upstream import DemoUpstreamClient
from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization

CALLERS = 4
KILLS = 8
ROTATIONS = 5
REFUSED_AFTER = 3
DISABLED = {"openai": (403, "organization_disabled"), "anthropic": (403, "permission_error")}
INVALID = {"openai": (401, "invalid_api_key"), "anthropic": (401, "authentication_error")}


@dataclass(slots=True, kw_only=True)
class Attempt:
    """`late`: begun after the acknowledgement. `marker` is the prompt, by which the provider's captures tell calls apart."""

    surface: Surface
    marker: str
    late: bool
    answer: httpx2.Response


@dataclass(slots=True)
class Callers:
    """Concurrent applications, each with a connection of its own, two on each surface."""

    base_url: str
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(CALLERS))
    clients: list[httpx2.Client] = field(
        default_factory=lambda: [httpx2.Client(trust_env=False, timeout=60) for _ in range(CALLERS)]
    )

    def call(self, number: int, key: str, *, late: bool) -> Attempt:
        surface, marker = SURFACES[number % 2], uuid4().hex
        url = self.base_url + surface.path
        answer = self.clients[number].post(url, json=surface.body(marker), headers=surface.asked(key))
        return Attempt(surface=surface, marker=marker, late=late, answer=answer)

    def all_call(self, key: str) -> list[Attempt]:
        return list(self.threads.map(lambda number: self.call(number, key, late=True), range(CALLERS)))

    def call_through(self, key: str, change: Callable[[], object]) -> list[Attempt]:
        """Everyone calls without a pause while `change` is made, and a few times more after it was acknowledged."""
        acknowledged, under_way = threading.Event(), threading.Barrier(CALLERS + 1)

        def go_on(number: int) -> list[Attempt]:
            attempts: list[Attempt] = [self.call(number, key, late=False)]
            under_way.wait()
            while sum(attempt.late for attempt in attempts) < REFUSED_AFTER:
                attempts.append(self.call(number, key, late=acknowledged.is_set()))
            return attempts

        running = [self.threads.submit(go_on, number) for number in range(CALLERS)]
        under_way.wait()
        change()
        acknowledged.set()
        return [attempt for each in running for attempt in each.result()]


@pytest.fixture
def callers(cloud: LocalCloud) -> Iterator[Callers]:
    calling = Callers(cloud.base_url)
    yield calling
    calling.threads.shutdown()
    for client in calling.clients:
        client.close()


@contextmanager
def open_stream(cloud: LocalCloud, organization: Organization, upstream: DemoUpstreamClient) -> Iterator[None]:
    """A call that keeps an environment busy inside the block, and ends with it."""
    body = OPENAI.body(model="demo-gated", stream=True)
    headers = OPENAI.asked(organization.api_key)
    with httpx2.stream("POST", cloud.base_url + OPENAI.path, json=body, headers=headers, trust_env=False, timeout=60) as answer:
        capture_id = int(answer.headers["x-demo-capture-id"])
        yield
        upstream.release(capture_id, events=1000)
        answer.read()


@pytest.fixture
def warm(cloud: LocalCloud, organization: Organization, upstream: DemoUpstreamClient) -> None:
    """As many environments as there are callers have admitted calls of this organization."""
    with ExitStack() as opened:
        for _ in range(CALLERS):
            opened.enter_context(open_stream(cloud, organization, upstream))
    cloud.settle("ProxyFunction")
    assert len(cloud.pids("ProxyFunction")) >= CALLERS


def prompts_since(upstream: DemoUpstreamClient, capture_id: int) -> bytes:
    return b"\n".join(captured.body for captured in upstream.requests(since=capture_id))


def last_capture(upstream: DemoUpstreamClient) -> int:
    return upstream.requests()[-1].id


def assert_refused(attempts: list[Attempt], expected: dict[str, tuple[int, str]], *, seen: bytes) -> None:
    """The late ones all were, each in its dialect; the provider has seen those that were answered, and no others."""
    late = [attempt for attempt in attempts if attempt.late]
    assert len(late) == CALLERS * REFUSED_AFTER
    for attempt in late:
        assert attempt.surface.refusal(attempt.answer) == expected[attempt.surface.name]
        assert attempt.answer.headers["x-should-retry"] == "false"
    reached = [attempt for attempt in attempts if attempt.marker.encode() in seen]
    assert [attempt for attempt in reached if attempt.answer.status_code != 200] == []
    assert len(reached) == sum(attempt.answer.status_code == 200 for attempt in attempts) >= CALLERS


@pytest.mark.usefixtures("warm")
def test_nothing_passes_after_the_kill_switch_and_everything_after_its_undoing(
    callers: Callers, organization: Organization, upstream: DemoUpstreamClient
) -> None:
    attempts: list[Attempt] = []
    for _ in range(KILLS):
        before = last_capture(upstream)
        killed = callers.call_through(organization.api_key, lambda: organization.set_enabled(False))
        assert_refused(killed, DISABLED, seen=prompts_since(upstream, before))
        organization.set_enabled(True)
        restored = callers.all_call(organization.api_key)
        assert [attempt.answer.status_code for attempt in restored] == [200] * CALLERS
        attempts += killed + restored
    # Those of the fixture are rows too; each call is one row, whatever became of it.
    statuses = Counter(attempt.answer.status_code for attempt in attempts) + Counter({200: CALLERS})
    rows = organization.wait_for_rows(statuses.total())
    assert Counter(row["status"] for row in rows) == statuses
    assert {row["error_code"] for row in rows if row["status"] == 403} == {"organization_disabled"}
    assert {row["total_tokens"] for row in rows if row["status"] == 403} == {0}


@pytest.mark.usefixtures("warm")
def test_a_rotated_key_is_refused_from_the_next_call_on_and_the_new_one_works(
    callers: Callers, organization: Organization, upstream: DemoUpstreamClient
) -> None:
    for _ in range(ROTATIONS):
        before, old = last_capture(upstream), organization.api_key
        rotated = callers.call_through(old, organization.rotate_key)
        assert organization.api_key != old
        assert_refused(rotated, INVALID, seen=prompts_since(upstream, before))
        assert [attempt.answer.status_code for attempt in callers.all_call(organization.api_key)] == [200] * CALLERS


@pytest.mark.usefixtures("warm")
def test_the_key_of_a_deleted_organization_is_refused_from_the_next_call_on(
    callers: Callers, organization: Organization, upstream: DemoUpstreamClient
) -> None:
    before = last_capture(upstream)
    attempts = callers.call_through(organization.api_key, organization.delete)
    assert_refused(attempts, INVALID, seen=prompts_since(upstream, before))
