"""A proxy that is killed in the middle of calls leaves reservations, and the reaper closes each as exactly one `lost` row."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest

from tests.e2e.proofs.surfaces import ANTHROPIC, OPENAI, SURFACES, Surface
from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization
from tests.support.provider import FakeProvider, Hang, stream

MAINTENANCE = Path(__file__).parents[3] / "functions/maintenance"
# The lease outlives the longest that an invocation may take, 15 minutes, and the reaper waits 2 minutes more.
ONE_HOUR = timedelta(hours=1)
MAINTAIN = """
import sys
from datetime import datetime
import handler
for now in sys.argv[1:]:
    counts = handler.maintain(handler.database, handler.reaper, now=datetime.fromisoformat(now))
    print(counts["reservations_closed"])
"""
FIRST = {
    "openai": b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n',
    "anthropic": b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":7}}}\n\n',
}


def maintain(cloud: LocalCloud, *times: datetime) -> list[int]:
    """The deployed function's own module in the environment that it has just run in, with nothing changed but the time it is
    told. Returns how many reservations each run closed."""
    # The reaper waits for events that are still on their way, those of other tests too.
    cloud.wait_until_delivered()
    cloud.invoke("MaintenanceFunction")
    [pid, *_] = cloud.pids("MaintenanceFunction")
    pairs = (pair.partition(b"=") for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if pair)
    environment = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
    command = [sys.executable, "-c", MAINTAIN, *(now.isoformat() for now in times)]
    done = subprocess.run(command, cwd=MAINTENANCE, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.splitlines() if line.isdecimal()]


@contextmanager
def begun(cloud: LocalCloud, organization: Organization, surface: Surface) -> Iterator[httpx2.Response]:
    """A stream of which the client has the first event, and the provider sends no more."""
    body = surface.body(model=surface.native, stream=True)
    headers = surface.asked(organization.api_key)
    with (
        httpx2.Client(trust_env=False, timeout=60) as client,
        client.stream("POST", cloud.base_url + surface.path, json=body, headers=headers) as answer,
    ):
        yield answer


def open_reservations(cloud: LocalCloud, organization: Organization) -> dict[str, int]:
    """The tokens that each reserves, by request id."""
    with cloud.superuser() as connection:
        rows = connection.run(
            "SELECT request_id, tokens FROM public.reservations WHERE org_id = :org AND state = 'reserved'", org=organization.id
        )
    return {str(request_id): tokens for request_id, tokens in rows}


def final_charges(cloud: LocalCloud, organization: Organization) -> dict[str, int]:
    with cloud.superuser() as connection:
        rows = connection.run(
            "SELECT request_id, tokens FROM public.reservations WHERE org_id = :org AND state = 'final'", org=organization.id
        )
    return {str(request_id): tokens for request_id, tokens in rows}


def kill_in_the_middle(cloud: LocalCloud, organization: Organization, surfaces: list[Surface]) -> list[str]:
    """SIGKILL the environments of as many streams at once; every client sees its stream break. Returns the request ids."""
    with ExitStack() as opened:
        answers = [opened.enter_context(begun(cloud, organization, surface)) for surface in surfaces]
        received = [answer.iter_raw() for answer in answers]
        for pieces, surface in zip(received, surfaces, strict=True):
            assert next(pieces) == FIRST[surface.name]
        assert cloud.kill("ProxyFunction") >= len(surfaces)
        for pieces in received:
            with pytest.raises(httpx2.RemoteProtocolError):
                next(pieces)
        return [answer.headers["x-navplane-request-id"] for answer in answers]


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_streams_that_are_killed_become_one_lost_row_each(
    surface: Surface, cloud: LocalCloud, played: Organization, provider: FakeProvider
) -> None:
    provider.script(stream([FIRST[surface.name], Hang()], end=False))
    killed = kill_in_the_middle(cloud, played, [surface] * 3)
    reserved = open_reservations(cloud, played)
    assert sorted(reserved) == sorted(killed)
    now, later = datetime.now(UTC), datetime.now(UTC) + ONE_HOUR
    # Within the lease nobody may close them, for their proxies might still be alive; and nobody closes them twice.
    assert maintain(cloud, now, later, later) == [0, len(killed), 0]
    rows = played.rows()
    assert sorted(row["request_id"] for row in rows) == sorted(killed)
    assert {fingerprint(row) for row in rows} == {("lost", "lost", surface.native, True)}
    # They weigh what was reserved: the provider may have billed all of it.
    assert final_charges(cloud, played) == reserved


def fingerprint(row: dict[str, Any]) -> tuple[object, ...]:
    return row["outcome"], row["usage_quality"], row["model"], row["stream"]


def test_a_call_that_is_killed_before_its_first_byte_is_lost_once_and_its_client_told(
    cloud: LocalCloud, played: Organization, provider: FakeProvider
) -> None:
    """The platform answers in the place of the function that died. The next call is served as if nothing had been."""
    provider.script([Hang()])
    before, answers = len(provider.requests), list[httpx2.Response]()

    def call() -> None:
        body, headers = OPENAI.body(model=OPENAI.native), OPENAI.asked(played.api_key)
        answers.append(httpx2.post(cloud.base_url + OPENAI.path, json=body, headers=headers, timeout=60, trust_env=False))

    calling = Thread(target=call)
    calling.start()
    provider.wait_for_requests(before + 1)
    cloud.kill("ProxyFunction")
    calling.join()
    assert [answer.status_code for answer in answers] == [502]
    provider.script(stream([FIRST["anthropic"]]))
    headers = ANTHROPIC.asked(played.api_key)
    body = ANTHROPIC.body(model=ANTHROPIC.native, stream=True)
    assert httpx2.post(cloud.base_url + ANTHROPIC.path, json=body, headers=headers, timeout=60, trust_env=False).is_success
    played.wait_for_rows(1)
    assert maintain(cloud, datetime.now(UTC) + ONE_HOUR) == [1]
    assert [row["outcome"] for row in played.rows()] == ["lost", "ok"]
