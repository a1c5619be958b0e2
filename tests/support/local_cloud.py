"""A whole local NavPlane for tests: the real functions, Postgres and queue, in a state directory of its own.

It runs in this process on a thread's event loop, so that a test can take a part of it away. tests/e2e/up starts the same as
`navplane up`.
"""

import asyncio
import os
import signal
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from navplane_local.cloud import CloudOptions
from navplane_local.cloud import LocalCloud as Cloud
from navplane_local.database_server import DATABASE, EmbeddedServer
from navplane_local.listener import bind
from navplane_local.resolver import REGION
from pg8000.native import Connection

START_SECONDS = 120
LINE_SECONDS = 30
Result = TypeVar("Result")


@dataclass(slots=True)
class Log:
    """Every line that a function of this cloud has printed, as (function's folder, line)."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def write(self, function: str, line: bytes) -> None:
        self.lines.append((function, line.decode(errors="replace")))

    def text(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def wait_for(self, text: str, *, after: int) -> None:
        """Wait for a line with `text` in it, behind the first `after` lines."""
        deadline = time.monotonic() + LINE_SECONDS
        while not any(text in line for _, line in self.lines[after:]):
            assert time.monotonic() < deadline, f"no function has said {text!r}"
            time.sleep(0.02)


class LocalCloud:
    """URLs and credentials as `dev.env` has them, and what a test may do to the running parts."""

    def __init__(self, cloud: Cloud, loop: asyncio.AbstractEventLoop, log: Log, state_dir: Path) -> None:
        self._cloud, self._loop = cloud, loop
        self.log, self.state_dir = log, state_dir
        self.base_url = self.admin_url = cloud.base_url
        self.rest_url, self.console_url = cloud.rest_url, cloud.console_url
        self.demo_url, self.issuer_url = cloud.demo_upstream_url, cloud.issuer.url
        self.api_key, self.org_id = cloud.demo.api_key, cloud.demo.org_id
        self.admin_token = cloud.admin_token()
        self.database_url = cloud.database.url()
        self._sqs = cloud.aws.client("sqs")

    def pids(self, function: str) -> list[int]:
        """The processes of a function (its logical id)."""
        return [pid for environment in self._cloud.harness.environments(function) if (pid := environment.pid)]

    def kill(self, function: str) -> int:
        """SIGKILL every environment of a function, in the middle of whatever it does. Returns how many."""
        return self._on_loop(self._kill(function))

    def pause(self, function: str) -> list[int]:
        """For good. Returns the process ids."""
        pids = self.pids(function)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return pids

    @contextmanager
    def paused(self, function: str) -> Iterator[None]:
        """The processes that a function has now stand still meanwhile."""
        pids = self.pause(function)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def settle(self, *functions: str) -> None:
        """Wait until no invocation of these is under way, work behind the answer included."""
        self._on_loop(self._cloud.harness.settled(*functions))

    def wait_until_delivered(self) -> None:
        """Until every usage event of the calls so far is recorded and acknowledged, so that the queue is empty."""
        self.settle("ProxyFunction")
        deadline = time.monotonic() + LINE_SECONDS
        while waiting := self._queued():
            assert time.monotonic() < deadline, f"{waiting} usage events are still queued"
            time.sleep(0.02)

    def _queued(self) -> int:
        """Those that the writer has in hand included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        return sum(int(count) for count in answer["Attributes"].values())

    def invoke(self, function: str, event: bytes = b"{}") -> bytes:
        """Invoke a function directly, such as MaintenanceFunction; return what it answered. Raise FunctionError."""
        return self._on_loop(self._invoke(function, event))

    @contextmanager
    def without_aws(self) -> Iterator[None]:
        """SQS, KMS and Secrets Manager can't be reached meanwhile; they forget nothing."""
        self._cloud.aws.pause()
        try:
            yield
        finally:
            self._cloud.aws.start()

    @contextmanager
    def without_postgres(self) -> Iterator[None]:
        self.stop_postgres()
        try:
            yield
        finally:
            self.start_postgres()

    @contextmanager
    def silent_postgres(self) -> Iterator[None]:
        """Postgres and all its sessions stand still meanwhile: connections stay open, and nobody answers."""
        server = self._cloud.database
        assert isinstance(server, EmbeddedServer)
        postmaster = psutil.Process(int((server.postgres.place.data / "postmaster.pid").read_text().split()[0]))
        # Once it stands still it has no more children than it had, though some may end before they are stopped.
        postmaster.suspend()
        family = [postmaster, *postmaster.children()]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def stop_postgres(self) -> None:
        self._cloud.database.stop()

    def start_postgres(self) -> None:
        self._cloud.database.start(self._cloud.state.secrets().passwords)

    def superuser(self) -> Connection:
        """Beyond grants and row-level security: to arrange and to look. Close it yourself."""
        server = self._cloud.database
        assert isinstance(server, EmbeddedServer)
        return server.postgres.connect(DATABASE)

    def dump(self) -> str:
        """Every row of every table, as text."""
        with self.superuser() as connection:
            names = connection.run("SELECT quote_ident(tablename) FROM pg_catalog.pg_tables WHERE schemaname = 'public'")
            rows = [row for (name,) in names for row in connection.run(f"SELECT t::text FROM public.{name} AS t")]
        return "\n".join(row[0] for row in rows)

    def aws_variables(self) -> dict[str, str]:
        """What points a process's boto3 at the emulated AWS."""
        return self._cloud.aws.variables() | {"AWS_DEFAULT_REGION": REGION}

    @property
    def queue_url(self) -> str:
        return self._cloud.stack.functions["ProxyFunction"].environment["QUEUE_URL"]

    async def _kill(self, function: str) -> int:
        environments = self._cloud.harness.environments(function)
        for environment in environments:
            environment.kill()
        return len(environments)

    async def _invoke(self, function: str, event: bytes) -> bytes:
        return await self._cloud.harness.invoke(function, event).payload()

    def _on_loop(self, work: Coroutine[Any, Any, Result]) -> Result:
        future: Future[Result] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(START_SECONDS)


@contextmanager
def temporary_state() -> Iterator[Path]:
    """A state directory that goes with everything in it. pytest's own are closed to the user that Postgres runs as when the
    tests run as root, and its data would stay behind elsewhere."""
    with tempfile.TemporaryDirectory(prefix="navplane-test-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory) / "state"


@contextmanager
def running_cloud(state_dir: Path, **options: Any) -> Iterator[LocalCloud]:
    """`options` are those of CloudOptions."""
    log = Log()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="local-cloud")
    thread.start()
    cloud = Cloud(CloudOptions(state_dir=state_dir, log=log.write, edge=bind(), durable=False, **options))
    try:
        asyncio.run_coroutine_threadsafe(cloud.start(lambda *_: None), loop).result(START_SECONDS)
        try:
            yield LocalCloud(cloud, loop, log, state_dir)
        finally:
            asyncio.run_coroutine_threadsafe(_stop(cloud), loop).result(START_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(cloud: Cloud) -> None:
    await cloud.stop()
    await asyncio.get_running_loop().shutdown_default_executor()


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """Shared by all tests of a session: keep to an organization of your own, and mend what you break."""
    with temporary_state() as state_dir, running_cloud(state_dir) as running:
        yield running
