"""A stop loses no usage event, even when the writer can't write; and a killed start replays what was kept."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from navplane_local import undelivered
from navplane_local.emulation import AwsEmulation
from navplane_local.stack import Queue

from tests.support.local_cloud import LocalCloud, running_cloud, temporary_state


@pytest.fixture
def state() -> Iterator[Path]:
    with temporary_state() as state_dir:
        yield state_dir


def a_queue(name: str) -> dict[str, Queue]:
    settings = {"visibility_seconds": 30, "retention_seconds": 60}
    return {"Q": Queue(logical_id="Q", name=name, dead_letter_queue=None, max_receive_count=None, **settings)}


def call(cloud: LocalCloud) -> str:
    response = httpx2.post(
        f"{cloud.base_url}/v1/chat/completions",
        json={"model": "demo", "messages": [{"role": "user", "content": "hi"}]},
        headers={"Authorization": f"Bearer {cloud.api_key}"},
        trust_env=False,
    )
    assert response.status_code == 200
    return response.headers["x-navplane-request-id"]


def row_ids(cloud: LocalCloud) -> list[str]:
    response = httpx2.get(
        f"{cloud.admin_url}/admin/orgs/{cloud.org_id}/requests",
        headers={"Authorization": f"Bearer {cloud.admin_token}"},
        trust_env=False,
    )
    return [row["request_id"] for row in response.raise_for_status().json()["items"]]


def test_event_the_writer_never_finished_is_kept_at_the_stop_and_becomes_one_row_after_the_next_start(state: Path) -> None:
    with running_cloud(state, grace_seconds=2) as cloud:
        cloud.pause("RequestLogWriterFunction")
        request_id = call(cloud)
        cloud.settle("ProxyFunction")
    (kept,) = (state / "undelivered").iterdir()
    assert json.loads(kept.read_text())["queue"] == "UsageQueue"
    assert request_id in kept.read_text()
    with running_cloud(state) as cloud:
        # The self-test has waited for a row of its own, which came through the same queue later than the kept one.
        assert row_ids(cloud).count(request_id) == 1
    assert list((state / "undelivered").iterdir()) == []


def test_kept_messages_stay_on_disk_until_a_stop_knows_better(tmp_path: Path) -> None:
    aws = AwsEmulation()
    aws.start()
    try:
        queues = aws.create_queues(a_queue("first"))
        queues["Q"].send("one")
        assert undelivered.keep(tmp_path, queues) == 1
        queues = aws.create_queues(a_queue("second"))
        assert undelivered.replay(tmp_path, queues) == 1
        assert len(list(tmp_path.iterdir())) == 1
        queues["Q"].delete(queues["Q"].receive(10))
        assert undelivered.keep(tmp_path, queues) == 0
        assert list(tmp_path.iterdir()) == []
    finally:
        aws.stop()
