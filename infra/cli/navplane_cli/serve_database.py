"""The database of `navplane serve` at its start: roles, migrations, partitions, prices. Replicas take turns."""

from datetime import UTC, datetime

from navplane.config import DatabaseSettings
from navplane.ingest import price_list
from navplane.store.bootstrap import LOGIN_ROLES, bootstrap
from navplane.store.database import Connection, connector
from navplane.store.migrate import ensure_partitions, migrate
from navplane.store.opening import explained

from navplane_cli.serve_settings import URL_NAME, RoleSettings

MONTHS_AHEAD = 3
# Any number that nothing else locks in this database.
_LOCK = 0x6E61_7671
# A start may wait for another replica's migrations.
_PATIENCE_SECONDS = 300.0


def prepare(roles: RoleSettings) -> list[str]:
    """Make or mend the roles, apply pending migrations, return their names. Raise ConfigurationError."""
    where = f"The Postgres of {URL_NAME} at {roles.database.host}"
    with explained(where), connect(roles.database) as creator:
        creator.run("SELECT pg_advisory_lock(:key)", key=_LOCK)
        bootstrap(creator, passwords={role: roles.password_of(role).reveal().decode() for role in LOGIN_ROLES})
        with connect(roles.of("navplane_owner")) as owner:
            applied = migrate(owner)
            now = datetime.now(UTC)
            ensure_partitions(owner, now=now, months_ahead=MONTHS_AHEAD)
            owner.run("BEGIN")
            price_list.load(owner, now=now)
            owner.run("COMMIT")
    return applied


def connect(settings: DatabaseSettings) -> Connection:
    password = settings.password
    assert password is not None
    return connector(
        host=settings.host,
        port=settings.port,
        name=settings.name,
        user=settings.user,
        password=lambda: password.reveal().decode(),
        tls=settings.tls,
        tls_ca_file=settings.tls_ca_file,
        timeout_seconds=_PATIENCE_SECONDS,
    )()
