"""The embedded Postgres: who may connect, what survives, and that nothing is left behind."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from navplane_local.postgres import AlreadyRunning, EmbeddedPostgres
from navplane_local.postgres_orphans import servers_on
from pg8000.native import Connection, Error

OWNER = """
import sys, time
from pathlib import Path
from navplane_local.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
server.start()
server.connect().run("CREATE TABLE kept AS SELECT 7 AS n")
print("started", flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    yield server
    server.wipe()


def killed_owner(data_dir: Path) -> None:
    """A process that owned a server on `data_dir` and was killed without warning."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(data_dir)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"started\n"
    owner.kill()
    owner.wait()
    owner.stdout.close()


def test_data_survives_a_restart(server: EmbeddedPostgres) -> None:
    server.start()
    with server.connect() as connection:
        connection.run("CREATE TABLE kept AS SELECT 7 AS n")
    server.stop()
    server.start()
    with server.connect() as connection:
        assert connection.run("SELECT n FROM kept") == [[7]]


def test_data_survives_an_owner_that_was_killed_and_no_server_outlives_it(server: EmbeddedPostgres) -> None:
    killed_owner(server.data_dir)
    server.start()
    with server.connect() as connection:
        assert connection.run("SELECT n FROM kept") == [[7]]
    assert len(list(servers_on(server.place.data))) >= 1
    server.stop()
    assert list(servers_on(server.place.data)) == []


def test_a_postmaster_killed_without_warning_is_recovered_from(server: EmbeddedPostgres) -> None:
    server.start()
    pid = int((server.place.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    server.stop()
    server.start()
    with server.connect() as connection:
        assert connection.run("SELECT 1") == [[1]]


def test_a_lock_file_that_names_somebody_elses_process_is_removed_and_that_process_left_alone(server: EmbeddedPostgres) -> None:
    server.start()
    lock_file = server.place.data / "postmaster.pid"
    lines = lock_file.read_text().splitlines()
    server.stop()
    with subprocess.Popen(["/bin/sleep", "600"]) as bystander:
        lock_file.write_text("\n".join([str(bystander.pid), *lines[1:]]))
        server.start()
        assert bystander.poll() is None
        bystander.kill()


def test_a_second_owner_is_refused_while_the_first_one_lives(server: EmbeddedPostgres) -> None:
    server.start()
    with pytest.raises(AlreadyRunning):
        EmbeddedPostgres(server.data_dir).start()
    with server.connect() as connection:
        assert connection.run("SELECT 1") == [[1]]


def test_nobody_gets_in_without_the_password(server: EmbeddedPostgres) -> None:
    server.start()
    socket = f"{server.socket_dir}/.s.PGSQL.5432"
    with pytest.raises(Error):
        Connection("postgres", password="wrong", unix_sock=socket)
    assert 'password authentication failed for user "postgres"' in server.data_dir.with_name("postgres.log").read_text()
    assert (server.data_dir.with_name("postgres.password").stat().st_mode & 0o777) == 0o600
    assert server.superuser_password not in server.data_dir.with_name("postgres.log").read_text()


def test_there_is_no_tcp_listener_unless_asked_for(server: EmbeddedPostgres) -> None:
    server.start()
    with server.connect() as connection:
        assert connection.run("SHOW listen_addresses") == [[""]]


def test_the_data_directory_may_be_as_deep_as_anyone_likes(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("d" * 60) / ("e" * 60) / "postgres", durable=False)
    try:
        server.start()
        with server.connect() as connection:
            assert connection.run("SELECT 1") == [[1]]
    finally:
        server.wipe()
    assert not server.place.home.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must change its user")
def test_started_by_root_it_runs_as_another_user_also_where_that_user_cannot_go(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    server = EmbeddedPostgres(hidden / "postgres", durable=False)
    try:
        server.start()
        assert {os.stat(f"/proc/{pid}").st_uid for pid in servers_on(server.place.data)} == {server.place.uid}
        assert server.place.uid not in (0, None)
        assert server.data_dir.is_symlink()
    finally:
        server.wipe()
    assert os.listdir(hidden) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must put the data elsewhere")
def test_what_a_deleted_directory_left_elsewhere_is_not_taken_for_the_new_ones_data(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    for _ in range(2):
        hidden.mkdir(mode=0o700)
        server = EmbeddedPostgres(hidden / "postgres", durable=False)
        server.start()
        with server.connect() as connection:
            assert connection.run("SELECT to_regclass('public.kept')") == [[None]]
            connection.run("CREATE TABLE kept ()")
        server.stop()
        shutil.rmtree(hidden)
    hidden.mkdir()
    EmbeddedPostgres(hidden / "postgres").wipe()
    assert not server.place.home.exists()


def test_a_lost_password_says_what_to_do(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    server.data_dir.with_name("postgres.password").unlink()
    with pytest.raises(RuntimeError, match="make reset"):
        server.start()
