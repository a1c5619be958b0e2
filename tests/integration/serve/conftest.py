"""`navplane serve` as a process of its own, with a Postgres, an issuer and a provider of its own."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from navplane_local.issuer import Issuer
from navplane_local.postgres import EmbeddedPostgres

from tests.support.demo_upstream import DemoUpstreamServer
from tests.support.oidc import issuing

# As a proxy in front of it would show it: nobody listens there.
CONSOLE_URL = "http://127.0.0.1:9/console"
START_SECONDS = 60.0
KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """One of our own: the roles' passwords are the cluster's, and `serve` sets them."""
    with tempfile.TemporaryDirectory(prefix="navplane-serve-") as directory:
        os.chmod(directory, 0o711)
        postgres = EmbeddedPostgres(Path(directory) / "postgres", durable=False)
        try:
            postgres.start()
            yield postgres
        finally:
            postgres.wipe()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as (issuer, _server):
        yield issuer


@pytest.fixture(scope="module")
def provider() -> Iterator[DemoUpstreamServer]:
    with DemoUpstreamServer() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def environment(server: EmbeddedPostgres, issuer: Issuer, provider: DemoUpstreamServer) -> dict[str, str]:
    server.ensure_database("navplane")
    return {
        "PATH": os.environ["PATH"],
        "NAVPLANE_MODE": "local",
        "NAVPLANE_DATABASE_URL": server.database_url(),
        "NAVPLANE_UPSTREAM_OVERRIDE_OPENAI": provider.url,
        "KEK_PROVIDER": "local",
        "ENCRYPTION_KEY": KEY,
        "OIDC_ISSUER": issuer.url,
        "OIDC_AUDIENCE": "navplane",
        "PLATFORM_ADMIN_SUBJECTS": "local|admin",
        "CONSOLE_URL": CONSOLE_URL,
        "ADMIN_READS_PER_MINUTE": "10000",
        "ADMIN_WRITES_PER_MINUTE": "10000",
    }


@dataclass(slots=True)
class Replica:
    """A running `navplane serve`. `log` grows line by line with what it says."""

    process: subprocess.Popen[str]
    log: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    _listening: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            record = json.loads(line)
            self.log.append(record)
            if record["message"] == "serve.listening":
                self.url = f"http://127.0.0.1:{record['port']}"
                self._listening.set()
        self._listening.set()

    def await_ready(self) -> None:
        assert self._listening.wait(START_SECONDS)
        assert self.url, f"it ended with {self.process.wait(START_SECONDS)}"
        transport = httpx2.HTTPTransport(retries=10)
        with httpx2.Client(transport=transport, trust_env=False) as client:
            client.get(f"{self.url}/health").raise_for_status()

    def said(self, message: str) -> list[dict[str, Any]]:
        return [record for record in self.log if record["message"] == message]


@contextmanager
def replica(environment: dict[str, str], *options: str) -> Iterator[Replica]:
    command = [sys.executable, "-m", "navplane_cli.main", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    running = Replica(process)
    listener = threading.Thread(target=running.listen)
    listener.start()
    try:
        running.await_ready()
        yield running
    finally:
        process.kill()
        process.wait(10)
        listener.join(10)
        assert process.stdout is not None
        process.stdout.close()
