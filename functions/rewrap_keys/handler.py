"""rewrap_keys: rotates the KEK, invoked by an operator and invoked again until it is finished. Postgres as navplane_rewrap; the
KEK both ways."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from navplane import wiring
from navplane.config import CustodySettings

# Left for the row under way: two seconds for each of three calls of the KEK, and the database's.
LEAVES_MILLISECONDS = 20_000

settings = CustodySettings.from_env()


def handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers the progress: `finished` is true once the old KEK may go. Raises where no new KEK is set."""
    rewrapper = wiring.rewrapper(settings)
    progress = rewrapper.run(
        now=lambda: datetime.now(UTC), goes_on=lambda: context.get_remaining_time_in_millis() > LEAVES_MILLISECONDS
    )
    return asdict(progress)
