"""The Postgres of the local cloud: the embedded one, or another that the caller names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from navplane.config import DatabaseSettings
from navplane.store.bootstrap import bootstrap
from navplane.store.database import Connection, connector
from navplane.store.opening import explained

from navplane_local.postgres import EmbeddedPostgres

DATABASE = "navplane"
PATIENCE_SECONDS = 60.0


class DatabaseServer(Protocol):
    """`start` returns when the database and its roles are there. `variables` is the DATABASE_* of any role but the
    password; `url` that of whoever may do everything, for people and tests."""

    title: str

    def start(self, passwords: Mapping[str, str]) -> None: ...

    def stop(self) -> None: ...

    def variables(self) -> dict[str, str]: ...

    def url(self) -> str: ...


class EmbeddedServer:
    title = "embedded Postgres"

    def __init__(self, data_dir: Path, *, durable: bool, tcp_port: int | None) -> None:
        self.postgres = EmbeddedPostgres(data_dir, durable=durable, tcp_port=tcp_port)

    def start(self, passwords: Mapping[str, str]) -> None:
        self.postgres.start()
        self.postgres.ensure_database(DATABASE)
        with self.postgres.connect(DATABASE) as connection:
            bootstrap(connection, passwords=passwords)

    def stop(self) -> None:
        self.postgres.stop()

    def variables(self) -> dict[str, str]:
        return {
            "DATABASE_HOST": str(self.postgres.socket_dir),
            "DATABASE_PORT": str(self.postgres.port),
            "DATABASE_NAME": DATABASE,
        }

    def url(self) -> str:
        return self.postgres.database_url(database=DATABASE)


class ExternalServer:
    """The database must exist; its user must be able to create roles."""

    title = "Postgres of NAVPLANE_DATABASE_URL"

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings

    def start(self, passwords: Mapping[str, str]) -> None:
        with explained(f"The {self.title} at {self._settings.host}"), self._connect() as connection:
            bootstrap(connection, passwords=passwords)

    def stop(self) -> None:
        """It isn't ours to stop."""

    def variables(self) -> dict[str, str]:
        settings = self._settings
        return {
            "DATABASE_HOST": settings.host,
            "DATABASE_PORT": str(settings.port),
            "DATABASE_NAME": settings.name,
            "DATABASE_TLS": "require" if settings.tls else "off",
            "DATABASE_TLS_CA_FILE": settings.tls_ca_file or "",
        }

    def url(self) -> str:
        settings = self._settings
        user = f"{quote(settings.user, safe='')}:{quote(self._password(), safe='')}"
        mode = "require" if settings.tls else "disable"
        if settings.host.startswith("/"):
            return f"postgresql://{user}@/{settings.name}?host={quote(settings.host)}&port={settings.port}&sslmode={mode}"
        return f"postgresql://{user}@{settings.host}:{settings.port}/{settings.name}?sslmode={mode}"

    def _password(self) -> str:
        return self._settings.password.reveal().decode() if self._settings.password else ""

    def _connect(self) -> Connection:
        settings = self._settings
        return connector(
            host=settings.host,
            port=settings.port,
            name=settings.name,
            user=settings.user,
            password=self._password,
            tls=settings.tls,
            tls_ca_file=settings.tls_ca_file,
            timeout_seconds=PATIENCE_SECONDS,
        )()
