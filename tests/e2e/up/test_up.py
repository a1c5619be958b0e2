"""`navplane up` and `navplane reset`: what a newcomer sees, and what is left behind."""

import re
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from navplane_local.listener import bind

from tests.support import navplane_up
from tests.support.local_cloud import temporary_state


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """The state of a NavPlane that was started once, called once, and stopped with Ctrl-C."""
    with temporary_state() as state_dir:
        with navplane_up.running(state_dir) as up:
            up.call()
            assert up.stop() == 0
        yield state_dir
        assert navplane_up.run("reset", state_dir).returncode == 0
        assert not state_dir.exists()


def await_no_process(state_dir: Path) -> None:
    deadline = time.monotonic() + 20
    while (left := navplane_up.processes_of(state_dir)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == set()


def test_start_prints_one_timed_line_for_each_part_and_what_to_do_next(state: Path) -> None:
    output = state.with_name("state.output").read_text()
    steps = [line[4:22].strip() for line in output.splitlines() if line.startswith("ok ")]
    assert steps == ["embedded Postgres", "migrations", "AWS emulation", "functions", "demo upstream", "self-test"]
    assert "NavPlane is ready, after" in output
    assert "curl -N http://127.0.0.1:" in output
    assert re.search(r"console +http://127\.0\.0\.1:[0-9]+/console\n", output)


def test_stop_leaves_no_process_and_no_dev_env(state: Path) -> None:
    assert navplane_up.processes_of(state) == set()
    assert not (state / "dev.env").exists()


def test_second_start_keeps_the_key_and_the_rows_and_leaves_only_private_files(state: Path) -> None:
    first = state.with_name("state.output").read_text()
    with navplane_up.running(state) as up:
        assert up.values["NAVPLANE_API_KEY"] in first
        assert "Sign in" in httpx2.get(up.values["NAVPLANE_CONSOLE_URL"], trust_env=False, timeout=30).text
        assert len(up.rows()) == 3
        assert stat.S_IMODE((state / "dev.env").stat().st_mode) == 0o600
        assert stat.S_IMODE(state.stat().st_mode) & 0o066 == 0
        for secret in ("kek.key", "secrets.json", "issuer.pem"):
            assert stat.S_IMODE((state / secret).stat().st_mode) == 0o600
        assert up.stop(signal.SIGTERM) == 0
    assert navplane_up.processes_of(state) == set()


def test_stop_writes_down_what_is_still_queued(state: Path) -> None:
    with navplane_up.running(state) as up:
        called = [up.call() for _ in range(5)]
        assert up.stop() == 0
    with navplane_up.running(state) as up:
        rows = up.rows()
        assert [rows.count(request_id) for request_id in called] == [1] * 5
        assert up.stop() == 0


def test_kill_of_the_supervisor_takes_every_process_along_and_the_next_start_works(state: Path) -> None:
    with navplane_up.running(state) as up:
        rows = up.rows()
        up.process.kill()
        up.process.wait()
    await_no_process(state)
    left_behind = (state / "dev.env").read_text()
    with navplane_up.running(state) as up:
        assert (state / "dev.env").read_text() != left_behind
        assert set(rows) <= set(up.rows())
        assert up.stop() == 0


def test_port_that_is_taken_falls_forward_with_a_notice(state: Path) -> None:
    with bind() as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with navplane_up.running(state, NAVPLANE_PORT=str(port)) as up:
            assert f"port {port} is taken; using " in up.output
            assert up.values["NAVPLANE_BASE_URL"] != f"http://127.0.0.1:{port}"
            assert up.call()
            assert up.stop() == 0


def test_second_up_and_reset_refuse_while_one_runs(state: Path) -> None:
    with navplane_up.running(state) as up:
        for command in ("up", "reset"):
            refused = navplane_up.run(command, state)
            assert refused.returncode == 1
            assert f"NavPlane already runs on {state} (process {up.process.pid})" in refused.stderr
        assert up.call()
        assert up.stop() == 0


def test_rotated_demo_key_is_replaced_with_a_notice(state: Path) -> None:
    with navplane_up.running(state) as up:
        before = up.values["NAVPLANE_API_KEY"]
        (demo,) = up.admin("/orgs")["items"]
        rotated = up.admin(f"/orgs/{demo['id']}/rotate-key", method="POST")["api_key"]
        assert up.stop() == 0
    with navplane_up.running(state) as up:
        assert "there is a new one" in up.output
        assert up.values["NAVPLANE_API_KEY"] not in (before, rotated)
        assert up.call()
        assert up.stop() == 0
