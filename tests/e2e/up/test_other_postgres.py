"""`navplane up` on a Postgres that somebody else runs."""

from pathlib import Path

from navplane_local.postgres import EmbeddedPostgres

from tests.support import navplane_up


def test_named_postgres_is_used_and_left_running(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with EmbeddedPostgres(tmp_path / "other", durable=False) as other:
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


def test_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "issuer.pem").write_text("not a key")
    failed = navplane_up.run("up", state)
    assert failed.returncode == 1
    assert failed.stderr.startswith("NavPlane did not start: ")
    assert "Traceback" not in failed.stderr
    assert navplane_up.processes_of(state) == set()
