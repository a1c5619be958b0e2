"""Forward-only migrations: the plain .sql files beside this module, each in a transaction of its own, in order, once.

`bootstrap` comes first and needs more than the owner may: it makes the roles. Everything else runs as navplane_owner.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pg8000.exceptions import DatabaseError

from navplane.errors import ConfigurationError, DependencyUnavailable
from navplane.store.bootstrap import bootstrap
from navplane.store.database import Connection, sqlstate

__all__ = ["Migration", "MigrationRefused", "bootstrap", "ensure_partitions", "migrate", "read_migrations", "schema_version"]

MIGRATIONS = Path(__file__).parent / "migrations"
FILE_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
# `-- assert: QUERY` in a file: what must be true when it has run. Under forced row-level security the owner's UPDATE changes
# nothing without an error, so a backfill says here what it must have done.
ASSERTION = re.compile(r"^-- assert: (.+)$", re.MULTILINE)
# Any number that nothing else locks in this database.
RUNNER_LOCK = 0x6E61_7670
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "5min"


class MigrationRefused(ConfigurationError):
    """The database and the files disagree about what was applied, or a file's assertion does not hold. Nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(directory: Path = MIGRATIONS) -> list[Migration]:
    """In the order of their numbers. There may be gaps between them: who works at the same time takes numbers apart."""
    paths = sorted(directory.glob("*.sql"))
    taken: dict[str, str] = {}
    for path in paths:
        if not FILE_NAME.fullmatch(path.name):
            raise MigrationRefused(f"{path.name} is not named like a migration: 0042_what_it_does.sql")
        if (other := taken.setdefault(path.name[:4], path.name)) != path.name:
            raise MigrationRefused(f"{other} and {path.name} have the same number: give the later one the next that is free.")
    return [Migration(name=path.stem, sql=path.read_text(encoding="utf-8")) for path in paths]


def migrate(connection: Connection, *, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is pending, as navplane_owner; return the names. Runners at the same time wait for each other.

    Raise MigrationRefused, or DependencyUnavailable when a lock is not to be had in time.
    """
    wanted = read_migrations() if migrations is None else migrations
    try:
        with _alone(connection):
            applied = _applied(connection)
            _check(applied, wanted)
            pending = wanted[len(applied) :]
            for migration in pending:
                _apply(connection, migration)
    except DatabaseError as exc:
        if sqlstate(exc) in ("55P03", "57014"):
            raise DependencyUnavailable("The migration did not get its locks in time; nothing of its file was kept.") from exc
        raise
    return [migration.name for migration in pending]


def schema_version(connection: Connection) -> str | None:
    """The name of the last file that was applied."""
    applied = _applied(connection)
    return list(applied)[-1] if applied else None


def ensure_partitions(connection: Connection, *, now: datetime, months_ahead: int) -> list[str]:
    """Make the missing monthly partitions of request_logs, from the month before `now`; return their names."""
    rows = connection.run(
        "SELECT public.ensure_request_log_partitions(CAST(:now AS timestamptz) - interval '1 month', CAST(:months AS integer))",
        now=now,
        months=months_ahead + 2,
    )
    return [row[0] for row in rows]


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    connection.run(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    connection.run(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
    connection.run("SELECT pg_advisory_lock(:key)", key=RUNNER_LOCK)
    try:
        yield
    finally:
        connection.run("SELECT pg_advisory_unlock(:key)", key=RUNNER_LOCK)
        connection.run("RESET lock_timeout")
        connection.run("RESET statement_timeout")


def _applied(connection: Connection) -> dict[str, str]:
    connection.run(
        "CREATE TABLE IF NOT EXISTS public.schema_migrations"
        " (name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    return dict(connection.run("SELECT name, checksum FROM public.schema_migrations ORDER BY name"))


def _check(applied: Mapping[str, str], wanted: Sequence[Migration]) -> None:
    for position, (name, checksum) in enumerate(applied.items()):
        if position >= len(wanted) or wanted[position].name != name:
            raise MigrationRefused(f"{name} was applied to this database, but this release has no such file in that place.")
        if wanted[position].checksum != checksum:
            raise MigrationRefused(f"{name} was applied and has changed since. Applied files never change: add a new one.")


def _apply(connection: Connection, migration: Migration) -> None:
    connection.run("BEGIN")
    try:
        connection.execute_simple(migration.sql)
        for query in ASSERTION.findall(migration.sql):
            if connection.execute_simple(query).rows != [[True]]:
                raise MigrationRefused(f"{migration.name}: this must be true after it, and is not: {query}")
        connection.run(
            "INSERT INTO public.schema_migrations (name, checksum) VALUES (:name, :checksum)",
            name=migration.name,
            checksum=migration.checksum,
        )
        connection.run("COMMIT")
    except BaseException:
        connection.run("ROLLBACK")
        raise
