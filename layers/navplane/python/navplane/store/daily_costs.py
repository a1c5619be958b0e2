"""What keys and users cost day by day, and which models had no price: what alerts are made of. For who watches them all."""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from navplane.model.alert import TRAILING_DAYS, DailyCost
from navplane.store.database import Connection


def of_keys_and_users(db: Connection, *, day: datetime) -> list[DailyCost]:
    """Everybody with costs on `day`, which is the beginning of a UTC day, beside their days since they were first in use, of
    the TRAILING_DAYS before. Demo calls cost nothing."""
    rows = db.run(
        """
        WITH costs AS (
            SELECT u.org_id, who.scope, who.id, u.starts_at, sum(u.cost_usd) AS cost
              FROM public.usage_daily AS u
             CROSS JOIN LATERAL (VALUES ('key', u.key_id), ('user', u.user_id)) AS who (scope, id)
             WHERE u.starts_at BETWEEN :first AND :day AND who.id IS NOT NULL
             GROUP BY 1, 2, 3, 4
        )
        SELECT org_id, scope, id, coalesce(sum(cost) FILTER (WHERE starts_at = :day), 0),
               coalesce(array_agg(cost) FILTER (WHERE starts_at < :day), '{}'),
               extract(day FROM :day - min(starts_at))::integer
          FROM costs GROUP BY 1, 2, 3 HAVING sum(cost) FILTER (WHERE starts_at = :day) > 0
        """,
        first=day - timedelta(days=TRAILING_DAYS),
        day=day,
    )
    return [_daily(row, f"{day:%Y-%m-%d}") for row in rows]


def unpriced_models(db: Connection, *, day: datetime) -> list[tuple[UUID, str | None, str | None]]:
    """Organization, provider and model."""
    rows = db.run(
        """
        SELECT DISTINCT org_id, provider, model FROM public.org_usage_daily
         WHERE starts_at = :day AND unpriced_requests > 0
        """,
        day=day,
    )
    return [(row[0], row[1], row[2]) for row in rows]


def _daily(row: list[object], day: str) -> DailyCost:
    org_id, scope, scope_id, cost, before, days = row
    assert isinstance(before, list) and isinstance(days, int)  # noqa: PT018
    idle = [Decimal(0)] * (days - len(before))
    return DailyCost(
        org_id=UUID(str(org_id)),
        scope=str(scope),
        scope_id=UUID(str(scope_id)),
        day=day,
        cost_usd=Decimal(str(cost)),
        before=(*before, *idle),
    )
