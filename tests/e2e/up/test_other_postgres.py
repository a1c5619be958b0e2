"""`navplane up` on a Postgres that somebody else runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from navplane_local.postgres import EmbeddedPostgres

from tests.support import navplane_up
from tests.support.local_cloud import temporary_state


@pytest.fixture
def state() -> Iterator[Path]:
    with temporary_state() as state_dir:
        yield state_dir


def test_named_postgres_is_used_and_left_running(state: Path) -> None:
    with EmbeddedPostgres(state.with_name("other"), durable=False) as other:
        other.ensure_database("elsewhere")
        url = other.database_url(database="elsewhere")
        with navplane_up.running(state, NAVPLANE_DATABASE_URL=url) as up:
            assert "Postgres of NAVPLANE_DATABASE_URL" in up.output
            request_id = up.call()
            assert up.stop() == 0
        assert not (state / "postgres").exists()
        with other.connect("elsewhere") as connection:
            rows = connection.run("SELECT count(*) FROM public.request_logs WHERE request_id = :id", id=request_id)
    assert rows == [[1]]


def test_start_that_fails_says_why_and_leaves_nothing(state: Path) -> None:
    state.mkdir()
    (state / "issuer.pem").write_text("not a key")
    failed = navplane_up.run("up", state)
    assert failed.returncode == 1
    assert failed.stderr.startswith("NavPlane did not start: ")
    assert "Traceback" not in failed.stderr
    assert navplane_up.processes_of(state) == set()


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("NAVPLANE_UPSTREAM_OVERRIDE_OPENAI", "https://api.example.com", "NAVPLANE_UPSTREAM_OVERRIDE_OPENAI is "),
        ("NAVPLANE_UPSTREAM_OVERRIDE_OPNEAI", "http://127.0.0.1:9", "'opneai'"),
        ("NAVPLANE_DATABASE_URL", "postgresql://o:p@127.0.0.1:1/n", "Connection refused"),
        ("NAVPLANE_PORT", "65536", "65535"),
    ],
)
def test_setting_that_cannot_work_is_named(variable: str, value: str, reason: str, state: Path) -> None:
    failed = navplane_up.run("up", state, **{variable: value})
    assert failed.returncode != 0
    assert reason in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "ok " not in failed.stdout
