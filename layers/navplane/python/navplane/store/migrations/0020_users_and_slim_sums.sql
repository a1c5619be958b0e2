-- Whose key a request was made with, kept with its row; sums that know neither key nor user, for questions that ask about neither;
-- and up to which moment what is recorded is complete.

ALTER TABLE public.request_logs ADD COLUMN user_id uuid;

-- The owner of the key when the row is recorded. One more column at the end: the release before names those that it reads.
DROP FUNCTION public.usage_owners(uuid[], uuid[]);
CREATE FUNCTION public.usage_owners(request_ids uuid[], key_ids uuid[]) RETURNS TABLE (
    request_id uuid, org_id uuid, workspace_id uuid, key_id uuid, user_id uuid
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT asked.request_id, coalesce(r.org_id, k.org_id), coalesce(r.workspace_id, k.workspace_id), coalesce(r.key_id, k.id),
           k.owner_user_id
      FROM unnest(request_ids, key_ids) AS asked (request_id, key_id)
      LEFT JOIN public.reservations AS r ON r.request_id = asked.request_id AND r.org_id IS NOT NULL
      LEFT JOIN public.api_keys AS k ON k.id = coalesce(r.key_id, asked.key_id)
     WHERE r.request_id IS NOT NULL OR k.id IS NOT NULL
$$;

CREATE TABLE public.org_usage_hourly (
    org_id               uuid NOT NULL,
    workspace_id         uuid NOT NULL,
    provider             text,
    model                text,
    endpoint             text NOT NULL,
    demo                 boolean NOT NULL,
    starts_at            timestamptz NOT NULL,
    requests             bigint NOT NULL,
    failed_requests      bigint NOT NULL,
    unpriced_requests    bigint NOT NULL,
    inexact_requests     bigint NOT NULL,
    input_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    cache_write_tokens   numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    reasoning_tokens     numeric NOT NULL,
    cost_usd             numeric(30, 9) NOT NULL,
    UNIQUE NULLS NOT DISTINCT (org_id, starts_at, workspace_id, provider, model, endpoint, demo)
);
CREATE TABLE public.org_usage_daily (LIKE public.org_usage_hourly INCLUDING ALL);

-- What was summed before. Under forced row-level security the owner sees nothing without a policy of its own. Writers wait until
-- both sums are there, and their messages wait with them.
LOCK TABLE public.usage_hourly, public.usage_daily IN SHARE ROW EXCLUSIVE MODE;
CREATE POLICY owner ON public.usage_hourly FOR SELECT TO navplane_owner USING (true);
CREATE POLICY owner ON public.usage_daily FOR SELECT TO navplane_owner USING (true);
INSERT INTO public.org_usage_hourly
SELECT org_id, workspace_id, provider, model, endpoint, demo, starts_at, sum(requests), sum(failed_requests), sum(unpriced_requests),
       sum(inexact_requests), sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens),
       sum(reasoning_tokens), sum(cost_usd)
  FROM public.usage_hourly GROUP BY 1, 2, 3, 4, 5, 6, 7;
INSERT INTO public.org_usage_daily
SELECT org_id, workspace_id, provider, model, endpoint, demo, starts_at, sum(requests), sum(failed_requests), sum(unpriced_requests),
       sum(inexact_requests), sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens),
       sum(reasoning_tokens), sum(cost_usd)
  FROM public.usage_daily GROUP BY 1, 2, 3, 4, 5, 6, 7;
DROP POLICY owner ON public.usage_hourly;
DROP POLICY owner ON public.usage_daily;

REVOKE ALL ON public.org_usage_hourly, public.org_usage_daily FROM PUBLIC;
ALTER TABLE public.org_usage_hourly ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.org_usage_daily ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.org_usage_hourly TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.org_usage_daily TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY platform ON public.org_usage_hourly FOR SELECT TO navplane_platform_reader USING (true);
CREATE POLICY platform ON public.org_usage_daily FOR SELECT TO navplane_platform_reader USING (true);
CREATE POLICY writer ON public.org_usage_hourly TO navplane_writer USING (true) WITH CHECK (true);
CREATE POLICY writer ON public.org_usage_daily TO navplane_writer USING (true) WITH CHECK (true);
GRANT SELECT ON public.org_usage_hourly, public.org_usage_daily TO navplane_admin, navplane_reader, navplane_platform_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.org_usage_hourly, public.org_usage_daily TO navplane_writer;

-- What the maintenance saw of a queue that is not a table here: since when its oldest event waits, if it waits for long. One row.
CREATE TABLE public.usage_queue_sightings (
    only_one         boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    seen_at          timestamptz NOT NULL,
    oldest_event_at  timestamptz
);
REVOKE ALL ON public.usage_queue_sightings FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON public.usage_queue_sightings TO navplane_writer;
GRANT SELECT ON public.usage_queue_sightings TO navplane_gate_definer;

-- Every request admitted before this moment has its row. An admitted request is open until its row is committed, so the oldest open
-- one decides; what was refused has no reservation and may still be queued. Five seconds are more than an admission may take.
CREATE POLICY gate ON public.usage_queue FOR SELECT TO navplane_gate_definer USING (true);
GRANT SELECT (enqueued_at, dead_reason) ON public.usage_queue TO navplane_gate_definer;
CREATE FUNCTION public.usage_complete_to_of(of_org_id uuid) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT least(now(),
                 (SELECT min(created_at) FROM public.reservations
                   WHERE state <> 'final' AND (of_org_id IS NULL OR org_id = of_org_id)),
                 (SELECT min(enqueued_at) FROM public.usage_queue WHERE dead_reason IS NULL),
                 (SELECT oldest_event_at FROM public.usage_queue_sightings)) - interval '5 seconds'
$$;
-- Of the organization that the transaction is about, and of none without one.
CREATE FUNCTION public.usage_complete_to() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT public.usage_complete_to_of(org_id) FROM (SELECT NULLIF(current_setting('app.org_id', true), '')::uuid) AS asked (org_id)
     WHERE org_id IS NOT NULL
$$;
CREATE FUNCTION public.usage_complete_to_everywhere() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT public.usage_complete_to_of(NULL)
$$;

REVOKE ALL ON FUNCTION public.usage_owners(uuid[], uuid[]), public.usage_complete_to_of(uuid), public.usage_complete_to(),
                       public.usage_complete_to_everywhere() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.usage_owners(uuid[], uuid[]) TO navplane_writer;
GRANT EXECUTE ON FUNCTION public.usage_complete_to() TO navplane_admin, navplane_reader;
GRANT EXECUTE ON FUNCTION public.usage_complete_to_everywhere() TO navplane_platform_reader;
GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.usage_owners(uuid[], uuid[]) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.usage_complete_to_of(uuid) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.usage_complete_to() OWNER TO navplane_gate_definer;
ALTER FUNCTION public.usage_complete_to_everywhere() OWNER TO navplane_gate_definer;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
