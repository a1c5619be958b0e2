"""migrate: invoked by the deployment, before the new functions get traffic. Postgres as navplane_owner.

The roles exist already: whoever made the database made them once (docs/deploy.md).
"""

from datetime import UTC, datetime
from typing import Any

from navplane import wiring
from navplane.config import MigrateSettings
from navplane.ingest import price_list
from navplane.store.migrate import ensure_partitions, migrate, schema_version

MONTHS_AHEAD = 3
# As long as a function may run: a migration bounds its own statements.
TIMEOUT_SECONDS = 900.0

settings = MigrateSettings.from_env()
database = wiring.database(settings.database, size=1, timeout_seconds=TIMEOUT_SECONDS)


def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Answers `{"applied": [names], "schema_version": name}`; raises, and so fails the deployment, if anything is refused."""
    now = datetime.now(UTC)
    with database.connection() as connection:
        applied = migrate(connection)
        ensure_partitions(connection, now=now, months_ahead=MONTHS_AHEAD)
    # Before the first call, and not at the next run of maintenance: a budget refuses what has no price.
    with database.transaction() as connection:
        price_list.load(connection, now=now)
        return {"applied": applied, "schema_version": schema_version(connection)}
