"""A ledger of millions of calls, made by the server itself: rows of request_logs over 90 days, and their sums."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from uuid import UUID

from navplane.gate.gate import Caller
from navplane.store.migrate import ensure_partitions
from navplane.store.rollups import ROLLUPS, SUMS, Rollup
from pg8000.native import Connection

from tests.support.tenants import seed_caller

DAYS = 90
ORGANIZATIONS = 20
BATCH = 500_000

# Four of five calls are the first organization's. Fifty keys each, two to a user, eight of them in any hour; five models of
# three providers, two to a key.
_ROWS = """
INSERT INTO public.request_logs (
    request_id, org_id, workspace_id, key_id, user_id, provider, provider_key_id, model, response_model, endpoint, region,
    stream, demo, status, error_code, outcome, usage_quality, price_quality, cost_usd, price_version,
    input_tokens, output_tokens,
    cached_input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, reasoning_tokens, audio_input_tokens,
    audio_output_tokens, web_searches, raw_usage, provider_request_id, finish_reason, attempts, first_byte_ms,
    duration_ms, request_bytes,
    response_bytes, client, started_at)
SELECT uuidv7(at - now()), org, md5('w' || org || key % 3)::uuid, md5('k' || org || key)::uuid,
       md5('u' || org || key / 2)::uuid,
       (ARRAY['openai', 'openai', 'anthropic', 'google', 'openai'])[model], org,
       (ARRAY['gpt-5', 'gpt-5-mini', 'claude-sonnet-4-5', 'gemini-2.5-pro', 'text-embedding-3-small'])[model],
       (ARRAY['gpt-5', 'gpt-5-mini', 'claude-sonnet-4-5', 'gemini-2.5-pro', 'text-embedding-3-small'])[model],
       (ARRAY['chat.completions', 'responses', 'messages', 'chat.completions', 'embeddings'])[model], 'us', model < 4, false,
       CASE WHEN failed THEN 502 ELSE 200 END, CASE WHEN failed THEN 'upstream_error' END,
       CASE WHEN failed THEN 'failed' ELSE 'ok' END, 'exact', CASE WHEN n % 500 = 0 THEN 'unpriced' ELSE 'priced' END,
       CASE WHEN n % 500 <> 0 THEN (tokens * 0.00000125 + tokens / 4 * 0.00001)::numeric(20, 9) END,
       'genai-prices', tokens, tokens / 4,
       tokens / 3, 0, 0, tokens / 8, 0, 0, 0, '{"prompt_tokens": 1000, "completion_tokens": 250}', 'req_' || n, 'stop', 1, 300,
       4200, 5000, 9000, 'openai-python/3', at
  FROM (SELECT *, 1 + (key + floor(random() * 2)::integer) % 5 AS model
          FROM (SELECT *, (7 * (extract(epoch FROM at) / 3600)::integer + floor(random() * 8)::integer) % 50 AS key
                  FROM (SELECT n, orgs[CASE WHEN random() < 0.8 THEN 1 ELSE 2 + floor(random() * 19)::integer END] AS org,
                               100 + floor(random() * 4000)::integer AS tokens, random() < 0.01 AS failed,
                               :end::timestamptz - :span::interval * (1 - (n + random()) / :rows) AS at
                          FROM (SELECT :orgs::uuid[] AS orgs) AS given,
                               generate_series(:first::bigint, :last::bigint) AS n) AS called) AS with_a_key) AS drawn
"""


_COUNTED = """
count(*), count(*) FILTER (WHERE outcome <> 'ok'), count(*) FILTER (WHERE price_quality = 'unpriced'),
count(*) FILTER (WHERE usage_quality <> 'exact'), sum(input_tokens), sum(cached_input_tokens),
sum(cache_write_5m_tokens + cache_write_1h_tokens), sum(output_tokens), sum(reasoning_tokens), coalesce(sum(cost_usd), 0)
"""

# They are made when the rows are there: that is quicker.
_INDEXES = """
SELECT c.relname, replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
  FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
 WHERE i.indrelid = 'public.request_logs'::regclass AND NOT i.indisunique
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """`busiest` is the organization with four fifths of the calls."""

    busiest: Caller
    end: datetime
    rows: int


def make(superuser: Connection, *, rows: int) -> Made:
    """In a fresh migrated database. The rows end at the midnight before now."""
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for month in range(5):
        ensure_partitions(superuser, now=end - timedelta(days=28 * month), months_ahead=1)
    callers = [seed_caller(superuser) for _ in range(ORGANIZATIONS)]
    superuser.run("ALTER SYSTEM SET autovacuum = off")
    superuser.run("SELECT pg_reload_conf()")
    for setting in ("synchronous_commit = off", "work_mem = '256MB'", "maintenance_work_mem = '512MB'"):
        superuser.run(f"SET {setting}")
    indexes = superuser.run(_INDEXES)
    for name, _ in indexes:
        superuser.run(f"DROP INDEX public.{name}")
    for first in range(0, rows, BATCH):
        superuser.run(
            _ROWS,
            orgs=[caller.org_id for caller in callers],
            first=first,
            last=min(first + BATCH, rows) - 1,
            rows=rows,
            end=end,
            span=timedelta(days=DAYS),
        )
    for _, definition in indexes:
        superuser.run(definition)
    for rollup in ROLLUPS:
        superuser.run(_sums(rollup))
    superuser.run("ANALYZE")
    return Made(busiest=callers[0], end=end, rows=rows)


def _sums(rollup: Rollup) -> str:
    """What rollups.rebuild makes, without its patience with numbers that no column holds; from rows, and from hours."""
    into = f"INSERT INTO {rollup.table} ({rollup.key}, {', '.join(SUMS)})"
    if (rollup.span, rollup.finest) == ("hour", True):
        return f"{into} SELECT {rollup.key_of_row}, {_COUNTED} FROM public.request_logs GROUP BY {rollup.groups}"
    key = rollup.key.replace("starts_at", f"date_trunc('{rollup.span}', starts_at, 'UTC')")
    summed = ", ".join(f"sum({name})" for name in SUMS)
    return f"{into} SELECT {key}, {summed} FROM public.usage_hourly GROUP BY {rollup.groups}"


def key_of(org_id: UUID, number: int) -> str:
    """SQL's md5('k' || org || number), as the rows above have it."""
    return str(UUID(md5(f"k{org_id}{number}".encode(), usedforsecurity=False).hexdigest()))
