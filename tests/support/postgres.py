"""Fresh migrated databases for tests: one real cluster per session, copies of one template.

The settings and connections are those of the roles that functions have, so a test meets the grants that production meets.
"""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from navplane.model.ids import new_id
from navplane.store.bootstrap import LOGIN_ROLES, bootstrap, open_database
from navplane.store.database import Database, connector
from navplane.store.migrate import ensure_partitions, migrate
from navplane_local.postgres import EmbeddedPostgres
from pg8000.native import Connection

TEMPLATE = "navplane_template"


class TestDatabase:
    """One database of the cluster. Everything that was opened through it is closed by `drop`."""

    __test__ = False

    def __init__(self, cluster: "TestCluster", name: str) -> None:
        self._cluster = cluster
        self.name = name
        self._opened: list[Database] = []

    def as_role(self, role: str, *, size: int = 4, timeout_seconds: float = 10.0) -> Database:
        database = Database(self._cluster.connector(self.name, role, timeout_seconds=timeout_seconds), size=size)
        self._opened.append(database)
        return database

    def superuser(self) -> Connection:
        """Beyond grants and row-level security: to arrange and to look. Close it yourself."""
        return self._cluster.server.connect(self.name)

    def settings(self, role: str) -> dict[str, str]:
        """The environment of a function that has this role."""
        return {
            "DATABASE_HOST": str(self._cluster.server.socket_dir),
            "DATABASE_PORT": str(self._cluster.server.port),
            "DATABASE_NAME": self.name,
            "DATABASE_USER": role,
            "DATABASE_AUTH": "password",
            "DATABASE_PASSWORD": self._cluster.passwords[role],
        }

    def drop(self) -> None:
        for database in self._opened:
            database.close()
        with self._cluster.server.connect() as connection:
            connection.run(f"DROP DATABASE {self.name} WITH (FORCE)")


class TestCluster:
    """Roles and the template are made once; `copy` is a matter of milliseconds."""

    __test__ = False

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self.passwords = {role: f"{role}-{new_id()}" for role in LOGIN_ROLES}
        self._numbers = itertools.count(1)
        server.ensure_database(TEMPLATE)
        with server.connect(TEMPLATE) as superuser:
            bootstrap(superuser, passwords=self.passwords)
        with self.connector(TEMPLATE, "navplane_owner")() as owner:
            migrate(owner)
            ensure_partitions(owner, now=datetime.now(UTC), months_ahead=1)

    def connector(self, database: str, role: str, *, timeout_seconds: float = 10.0) -> Callable[[], Connection]:
        return connector(
            host=str(self.server.socket_dir), port=self.server.port, name=database, user=role,
            password=lambda: self.passwords[role], tls=False, tls_ca_file=None, timeout_seconds=timeout_seconds,
        )  # fmt: skip

    def copy(self) -> TestDatabase:
        """A fresh migrated database."""
        return self._make(f"TEMPLATE {TEMPLATE}")

    def empty(self) -> TestDatabase:
        """A fresh database with nothing in it, but open to the roles."""
        return self._make("TEMPLATE template0")

    def _make(self, options: str) -> TestDatabase:
        name = f"test_{next(self._numbers)}"
        with self.server.connect() as superuser:
            superuser.run(f"CREATE DATABASE {name} {options}")
        with self.server.connect(name) as superuser:
            open_database(superuser)
        return TestDatabase(self, name)


@contextmanager
def running_server() -> Iterator[EmbeddedPostgres]:
    """A server in a temporary directory, which loses everything at the end."""
    with tempfile.TemporaryDirectory(prefix="navplane-test-") as directory:
        # The OS user that runs Postgres, when root runs the tests, must be able to pass through.
        os.chmod(directory, 0o711)
        server = EmbeddedPostgres(Path(directory) / "postgres", durable=False)
        try:
            server.start()
            yield server
        finally:
            server.wipe()


@contextmanager
def running_cluster() -> Iterator[TestCluster]:
    with running_server() as server:
        yield TestCluster(server)
