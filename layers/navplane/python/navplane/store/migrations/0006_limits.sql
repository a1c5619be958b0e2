-- Limits and budgets: how much a key, a workspace, an organization and the whole platform may use in a window of time, and the
-- counters that the gate's functions move in the same transaction as a reservation's state. model/limit.py says what the words mean.

CREATE TABLE public.limits (
    org_id          uuid NOT NULL REFERENCES public.organizations (id),
    id              uuid NOT NULL,
    scope           text NOT NULL CHECK (scope IN ('key', 'workspace', 'organization')),
    scope_id        uuid NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('usd_per_month', 'usd_per_day', 'tokens_per_month', 'tokens_per_day',
                        'concurrent_streams', 'requests_per_hour', 'requests_per_minute', 'tokens_per_minute')),
    amount          bigint NOT NULL CHECK (amount >= 0),
    mode            text NOT NULL CHECK (mode IN ('strict', 'normal')),
    allow_unpriced  boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE (id),
    UNIQUE (org_id, scope_id, kind)
);

-- What everybody together may use. It belongs to no organization.
CREATE TABLE public.platform_limits (
    id              uuid PRIMARY KEY,
    kind            text NOT NULL UNIQUE CHECK (kind IN ('usd_per_month', 'usd_per_day', 'tokens_per_month', 'tokens_per_day',
                        'concurrent_streams', 'requests_per_hour', 'requests_per_minute', 'tokens_per_minute')),
    amount          bigint NOT NULL CHECK (amount >= 0),
    mode            text NOT NULL CHECK (mode IN ('strict', 'normal')),
    allow_unpriced  boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- Spent and reserved together, per limit and window. It belongs to the scope and the kind, not to the limit's row: taking a limit
-- away and setting it again forgets nothing. Half of each page is kept free, so that a change stays on its page.
CREATE TABLE public.limit_counters (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id       uuid,
    scope        text NOT NULL,
    scope_id     uuid NOT NULL,
    kind         text NOT NULL,
    window_name  text NOT NULL,
    ends_at      timestamptz,
    used         bigint NOT NULL DEFAULT 0,
    UNIQUE (scope_id, kind, window_name)
) WITH (fillfactor = 50);
CREATE INDEX limit_counters_ended ON public.limit_counters (ends_at);

-- Which row of model_prices a name was found to be, or that it is none: a provider has hundreds of patterns. Of fixed size, so that no
-- caller can fill it: two names that share a slot drive each other out. It holds as long as the list that it was found in.
CREATE TABLE public.model_price_hits (
    provider   text NOT NULL,
    slot       integer NOT NULL,
    model      text NOT NULL,
    position   integer,
    loaded_at  timestamptz NOT NULL,
    PRIMARY KEY (provider, slot)
);

-- The counters that a reservation was counted in: it is settled in the windows that it was admitted in.
ALTER TABLE public.reservations ADD COLUMN counters bigint[] NOT NULL DEFAULT '{}';

CREATE TRIGGER touch BEFORE UPDATE ON public.limits FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON public.platform_limits FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();

ALTER TABLE public.limits ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.limit_counters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.limits TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.limit_counters TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY gate ON public.limits FOR SELECT TO navplane_gate_definer USING (true);
CREATE POLICY gate ON public.limit_counters TO navplane_gate_definer USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.limits, public.platform_limits TO navplane_admin;
GRANT SELECT ON public.limit_counters TO navplane_admin;
GRANT SELECT ON public.limits, public.platform_limits, public.limit_counters TO navplane_reader;
GRANT SELECT ON public.limits, public.platform_limits, public.model_prices TO navplane_gate_definer;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.limit_counters TO navplane_gate_definer;
GRANT SELECT, INSERT, UPDATE ON public.model_price_hits TO navplane_gate_definer;

-- The functions are made by the definer itself: only their owner may replace those of 0003_gate.sql.
GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
SET LOCAL ROLE navplane_gate_definer;

-- The one order in which limits are checked and counters are locked, so that no two calls wait for each other: budgets first.
CREATE FUNCTION public.gate_rank(kind text, scope text) RETURNS integer LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT 4 * array_position(ARRAY['usd_per_month', 'usd_per_day', 'tokens_per_month', 'tokens_per_day', 'concurrent_streams',
                                    'requests_per_hour', 'requests_per_minute', 'tokens_per_minute'], kind)
           + array_position(ARRAY['key', 'workspace', 'organization', 'platform'], scope)
$$;

-- A limit's window at a moment, in UTC: its name, and when the next one begins. What is not per time has one that never ends.
CREATE FUNCTION public.gate_window(kind text, at_time timestamptz, OUT name text, OUT ends_at timestamptz) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unit  text := split_part(kind, '_per_', 2);
    utc   timestamp := at_time AT TIME ZONE 'UTC';
BEGIN
    name := CASE unit
        WHEN 'minute' THEN to_char(utc, '"min:"YYYY-MM-DD"T"HH24:MI')
        WHEN 'hour' THEN to_char(utc, '"h:"YYYY-MM-DD"T"HH24')
        WHEN 'day' THEN to_char(utc, '"d:"YYYY-MM-DD')
        WHEN 'month' THEN to_char(utc, '"m:"YYYY-MM')
        ELSE 'open' END;
    IF unit <> '' THEN
        ends_at := (date_trunc(unit, utc) + ('1 ' || unit)::interval) AT TIME ZONE 'UTC';
    END IF;
END $$;

-- Adds `weight` to one counter if the limit allows it, and answers the counter's id; NULL if it does not. Strict: what is used
-- never exceeds the limit. Normal: whoever comes before it is reached goes through. What weighs nothing is never refused, but
-- counted in, in case it turns out to weigh something.
CREATE FUNCTION public.gate_count(
    of_org_id uuid, of_scope text, of_scope_id uuid, of_kind text, amount bigint, strict boolean, weight bigint, at_time timestamptz
) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    period   record := public.gate_window(of_kind, at_time);
    counted  bigint;
BEGIN
    FOR attempt IN 1..2 LOOP
        UPDATE public.limit_counters AS c SET used = c.used + weight
         WHERE c.scope_id = of_scope_id AND c.kind = of_kind AND c.window_name = period.name
           AND (weight = 0 OR CASE WHEN strict THEN c.used + weight <= amount ELSE c.used < amount END)
        RETURNING c.id INTO counted;
        EXIT WHEN FOUND OR attempt = 2;
        INSERT INTO public.limit_counters (org_id, scope, scope_id, kind, window_name, ends_at)
        VALUES (of_org_id, of_scope, of_scope_id, of_kind, period.name, period.ends_at) ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN counted;
END $$;

-- The row of the list that a model's name belongs to, by its position; none for a model without a price.
CREATE FUNCTION public.gate_price(of_provider text, of_model text) RETURNS SETOF public.model_prices LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_slot  integer := hashtext(of_model) & 1023;
    hit       record;
    list      timestamptz;
    found_at  integer;
BEGIN
    SELECT p.loaded_at INTO list FROM public.model_prices AS p WHERE p.provider = of_provider ORDER BY p.position LIMIT 1;
    IF list IS NULL THEN
        RETURN;
    END IF;
    SELECT h.position INTO hit FROM public.model_price_hits AS h
     WHERE h.provider = of_provider AND h.slot = its_slot AND h.model = of_model AND h.loaded_at = list;
    IF FOUND THEN
        found_at := hit.position;
    ELSE
        SELECT p.position INTO found_at FROM public.model_prices AS p
         WHERE p.provider = of_provider AND of_model ~ p.pattern ORDER BY p.position LIMIT 1;
        INSERT INTO public.model_price_hits AS h (provider, slot, model, position, loaded_at)
        VALUES (of_provider, its_slot, of_model, found_at, list)
        ON CONFLICT (provider, slot) DO UPDATE
           SET model = excluded.model, position = excluded.position, loaded_at = excluded.loaded_at;
    END IF;
    RETURN QUERY SELECT p.* FROM public.model_prices AS p WHERE p.provider = of_provider AND p.position = found_at;
END $$;

-- As gate_admit of 0003_gate.sql, and within limits. The caller's rows are locked before they are looked at; then the request id
-- is taken, then the counters, in their one order. Where a limit refuses, all of that is taken back.
-- `ask_input_tokens` NULL: ask_tokens and ask_nano_usd are what to reserve. Else they are worked out here: the body holds at most
-- so many tokens, or the model may read its context `ask_contexts` times (NULL: nobody knows how often), and it writes at most
-- `ask_output_tokens` (NULL: as many as it can).
CREATE FUNCTION public.gate_admit_within(
    ask_request_id uuid, ask_digest bytea, ask_endpoint text, ask_provider text, ask_model text, ask_region text,
    ask_stream boolean, ask_lease_until timestamptz, ask_tokens bigint, ask_nano_usd bigint, ask_now timestamptz,
    ask_input_tokens bigint, ask_output_tokens bigint, ask_contexts integer
) RETURNS TABLE (
    refused text, about text, caller_org_id uuid, caller_workspace_id uuid, caller_key_id uuid, usage_mode text,
    candidate_id uuid, candidate_region text, candidate_base_url text, candidate_demo boolean, candidate_sealed bytea
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- What a model may write when nobody knows its maximum and no strict limit asks: as model/limit.py has it.
    usual_output  constant bigint := 4096;
    caller        record;
    policy        record;
    needs         record;
    price         record;
    bound         record;
    candidates    public.provider_keys[];
    counted       bigint;
    counted_in    bigint[] := '{}';
    weighs        boolean;
    priced        boolean := false;
    input         bigint := ask_input_tokens;
    output        bigint := ask_output_tokens;
    tokens        bigint := ask_tokens;
    nano_usd      bigint := ask_nano_usd;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(public.gate_queue_of(k.org_id)) FROM public.api_keys AS k WHERE k.digest = ask_digest;
    SELECT k.org_id, k.workspace_id, k.id, o.enabled, o.stream_usage,
           k.revoked_at IS NULL AND o.deleted_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ask_now) AS valid
      INTO caller
      FROM public.api_keys AS k JOIN public.organizations AS o ON o.id = k.org_id
     WHERE k.digest = ask_digest
       FOR SHARE OF k, o;
    IF NOT FOUND THEN
        refused := 'invalid_key';
        RETURN NEXT;
        RETURN;
    END IF;
    caller_org_id := caller.org_id;
    caller_workspace_id := caller.workspace_id;
    caller_key_id := caller.id;

    SELECT w.region, coalesce(s.disabled_providers, '{}') AS disabled_providers,
           coalesce(s.allow_models, '{}') AS allow_models, coalesce(s.block_models, '{}') AS block_models
      INTO policy
      FROM public.workspaces AS w LEFT JOIN public.org_provider_settings AS s ON s.org_id = w.org_id
     WHERE w.org_id = caller.org_id AND w.id = caller.workspace_id;
    candidates := ARRAY(
        SELECT p FROM public.provider_keys AS p
         WHERE p.org_id = caller.org_id AND p.provider = ask_provider AND p.region = policy.region AND p.deleted_at IS NULL
         ORDER BY p.created_at DESC, p.id DESC
    );
    SELECT count(*) > 0 AS any_limit,
           coalesce(bool_or(l.kind ~ '^(usd|tokens)_'), false) AS a_weight,
           coalesce(bool_or(l.kind LIKE 'usd%'), false) AS a_usd,
           coalesce(bool_or(l.kind LIKE 'usd%' AND NOT l.allow_unpriced), false) AS a_price,
           coalesce(bool_or(l.kind ~ '^(usd|tokens)_' AND l.mode = 'strict'), false) AS a_bound
      INTO needs
      FROM (SELECT kind, mode, allow_unpriced FROM public.limits
             WHERE org_id = caller.org_id AND scope_id IN (caller.org_id, caller.workspace_id, caller.id)
            UNION ALL SELECT kind, mode, allow_unpriced FROM public.platform_limits) AS l;
    weighs := needs.a_weight AND input IS NOT NULL AND (input, output, ask_contexts) IS DISTINCT FROM (0, 0, 0);
    -- Tokens alone need no list where the body bounds them.
    IF weighs AND (needs.a_usd OR output IS NULL OR ask_contexts IS DISTINCT FROM 0) THEN
        SELECT * INTO price FROM public.gate_price(ask_provider, ask_model);
        priced := FOUND;
        input := CASE WHEN ask_contexts = 0 THEN input ELSE ask_contexts * price.context_tokens END;
        output := coalesce(output, price.max_output_tokens);
    END IF;

    -- In the order of gate.RefusalReason.
    CASE
        WHEN NOT caller.valid THEN
            refused := 'invalid_key';
        WHEN NOT caller.enabled THEN
            refused := 'organization_disabled';
        WHEN policy.region <> ask_region THEN
            refused := 'region_mismatch';
            about := policy.region;
        WHEN ask_provider IS NULL THEN
            refused := 'model_not_found';
            about := ask_model;
        WHEN ask_provider = ANY (policy.disabled_providers) THEN
            refused := 'model_not_allowed';
            about := ask_provider;
        WHEN public.gate_matches(ask_model, policy.block_models)
             OR ask_model IS NOT NULL AND policy.allow_models <> '{}' AND NOT public.gate_matches(ask_model, policy.allow_models) THEN
            refused := 'model_not_allowed';
            about := ask_model;
        WHEN cardinality(candidates) = 0 THEN
            refused := 'provider_key_missing';
            about := ask_provider;
        WHEN weighs AND needs.a_price AND NOT priced THEN
            refused := 'model_unpriced';
            about := ask_model;
        WHEN weighs AND needs.a_bound AND (input IS NULL OR output IS NULL) THEN
            refused := 'unbounded_request';
            about := ask_model;
        ELSE
            refused := NULL;
    END CASE;
    IF refused IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;

    IF ask_input_tokens IS NOT NULL THEN
        input := coalesce(input, ask_input_tokens);
        output := coalesce(output, usual_output);
        tokens := input + output;
        nano_usd := 0;
    END IF;
    IF priced THEN
        nano_usd := input * price.input_nano_usd + output * price.output_nano_usd + coalesce(price.request_nano_usd, 0);
    END IF;
    BEGIN
        INSERT INTO public.reservations (
            request_id, org_id, workspace_id, key_id, provider, provider_key_id, model, endpoint, region, stream, demo,
            state, tokens, nano_usd, lease_until, created_at, updated_at
        ) VALUES (
            ask_request_id, caller.org_id, caller.workspace_id, caller.id, ask_provider, candidates[1].id, ask_model, ask_endpoint,
            ask_region, ask_stream, candidates[1].demo, 'reserved', tokens, nano_usd, ask_lease_until, ask_now, ask_now
        ) ON CONFLICT (request_id) DO NOTHING;
        IF NOT FOUND THEN
            -- The id is taken: by this very request, asked again, or by one that has been closed meanwhile.
            IF NOT EXISTS (
                SELECT FROM public.reservations AS r
                 WHERE r.request_id = ask_request_id AND r.state = 'reserved' AND r.key_id = caller.id
            ) THEN
                refused := 'closed';
                RETURN NEXT;
                RETURN;
            END IF;
        ELSIF needs.any_limit THEN
            FOR bound IN
                SELECT l.org_id, l.scope, l.scope_id, l.kind, l.amount, l.mode
                  FROM (SELECT k.org_id, k.scope, k.scope_id, k.kind, k.amount, k.mode FROM public.limits AS k
                         WHERE k.org_id = caller.org_id AND k.scope_id IN (caller.org_id, caller.workspace_id, caller.id)
                        UNION ALL
                        SELECT NULL, 'platform', '00000000-0000-0000-0000-000000000000', p.kind, p.amount, p.mode
                          FROM public.platform_limits AS p) AS l
                 WHERE l.kind <> 'concurrent_streams' OR ask_stream
                 ORDER BY public.gate_rank(l.kind, l.scope)
            LOOP
                counted := public.gate_count(
                    bound.org_id, bound.scope, bound.scope_id, bound.kind, bound.amount, bound.mode = 'strict',
                    CASE split_part(bound.kind, '_per_', 1) WHEN 'usd' THEN nano_usd WHEN 'tokens' THEN tokens ELSE 1 END, ask_now);
                IF counted IS NULL THEN
                    refused := CASE WHEN bound.kind ~ '^(usd|tokens)_per_(day|month)$' THEN 'budget_exceeded' ELSE 'rate_limited' END;
                    about := bound.scope || ' ' || bound.kind;
                    RAISE EXCEPTION 'over a limit' USING ERRCODE = 'NP001';
                END IF;
                counted_in := counted_in || counted;
            END LOOP;
            UPDATE public.reservations AS r SET counters = counted_in WHERE r.request_id = ask_request_id;
        END IF;
    EXCEPTION WHEN SQLSTATE 'NP001' THEN
        RETURN NEXT;
        RETURN;
    END;
    RETURN QUERY
        SELECT NULL::text, NULL::text, caller.org_id::uuid, caller.workspace_id::uuid, caller.id::uuid, caller.stream_usage::text,
               p.id, p.region, p.base_url, p.demo, p.sealed
          FROM unnest(candidates) AS p;
END $$;

-- For the proxies of the release before, which work out the worst case themselves.
CREATE OR REPLACE FUNCTION public.gate_admit(
    ask_request_id uuid, ask_digest bytea, ask_endpoint text, ask_provider text, ask_model text, ask_region text,
    ask_stream boolean, ask_lease_until timestamptz, ask_tokens bigint, ask_nano_usd bigint, ask_now timestamptz
) RETURNS TABLE (
    refused text, about text, caller_org_id uuid, caller_workspace_id uuid, caller_key_id uuid, usage_mode text,
    candidate_id uuid, candidate_region text, candidate_base_url text, candidate_demo boolean, candidate_sealed bytea
) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM public.gate_admit_within(ask_request_id, ask_digest, ask_endpoint, ask_provider, ask_model, ask_region, ask_stream,
                                           ask_lease_until, ask_tokens, ask_nano_usd, ask_now, NULL, NULL, NULL)
$$;

-- Moves reservations that are in one of `from_states` to `new_state` and to what they weigh now (NULL: as much as before), and the
-- counters with them. Reservations are locked first and counters then, each in their one order, here as in the admission.
CREATE FUNCTION public.gate_move(
    of_request_ids uuid[], new_tokens bigint[], new_nano_usd bigint[], from_states text[], new_state text, at_time timestamptz
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM public.reservations AS r WHERE r.request_id = ANY (of_request_ids) ORDER BY r.request_id FOR UPDATE;
    PERFORM FROM public.limit_counters AS c
      WHERE c.id IN (SELECT unnest(r.counters) FROM public.reservations AS r
                      WHERE r.request_id = ANY (of_request_ids) AND r.state = ANY (from_states))
      ORDER BY public.gate_rank(c.kind, c.scope), c.scope_id, c.window_name FOR UPDATE OF c;
    IF FOUND THEN
        UPDATE public.limit_counters AS c SET used = c.used + moved.by
          FROM (SELECT counter.id,
                       sum(CASE split_part(counter.kind, '_per_', 1)
                           WHEN 'usd' THEN coalesce(now.nano_usd, r.nano_usd) - r.nano_usd
                           WHEN 'tokens' THEN coalesce(now.tokens, r.tokens) - r.tokens
                           WHEN 'concurrent_streams' THEN CASE r.state WHEN 'reserved' THEN -1 ELSE 0 END
                           ELSE 0 END)::bigint AS by
                  FROM unnest(of_request_ids, new_tokens, new_nano_usd) AS now (request_id, tokens, nano_usd)
                  JOIN public.reservations AS r ON r.request_id = now.request_id AND r.state = ANY (from_states)
                  JOIN public.limit_counters AS counter ON counter.id = ANY (r.counters)
                 GROUP BY counter.id) AS moved
         WHERE c.id = moved.id AND moved.by <> 0;
    END IF;
    UPDATE public.reservations AS r
       SET state = new_state, tokens = coalesce(now.tokens, r.tokens), nano_usd = coalesce(now.nano_usd, r.nano_usd), updated_at = at_time
      FROM unnest(of_request_ids, new_tokens, new_nano_usd) AS now (request_id, tokens, nano_usd)
     WHERE r.request_id = now.request_id AND r.state = ANY (from_states)
       AND (r.state, r.tokens, r.nano_usd)
           IS DISTINCT FROM (new_state, coalesce(now.tokens, r.tokens), coalesce(now.nano_usd, r.nano_usd));
END $$;

CREATE OR REPLACE FUNCTION public.gate_settle(settled_request_id uuid, settled_tokens bigint, settled_nano_usd bigint, at_time timestamptz)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT public.gate_move(ARRAY[settled_request_id], ARRAY[settled_tokens], ARRAY[settled_nano_usd],
                            ARRAY['reserved'], 'settled', at_time)
$$;

-- A request id that is not known gets a final row of its own, so that an admission still under way can't open it afterwards.
CREATE OR REPLACE FUNCTION public.gate_finalize(
    final_request_ids uuid[], final_tokens bigint[], final_nano_usd bigint[], at_time timestamptz
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.reservations (request_id, state, tokens, nano_usd, created_at, updated_at)
    SELECT f.request_id, 'final', coalesce(f.tokens, 0), coalesce(f.nano_usd, 0), at_time, at_time
      FROM unnest(final_request_ids, final_tokens, final_nano_usd) AS f (request_id, tokens, nano_usd)
     ORDER BY f.request_id
        ON CONFLICT (request_id) DO NOTHING;
    PERFORM public.gate_move(final_request_ids, final_tokens, final_nano_usd,
                             ARRAY['reserved', 'settled', 'expired', 'final'], 'final', at_time);
END $$;

CREATE OR REPLACE FUNCTION public.gate_expire(before timestamptz, at_most integer, at_time timestamptz) RETURNS TABLE (
    request_id uuid, org_id uuid, workspace_id uuid, key_id uuid, provider text, provider_key_id uuid, model text, endpoint text,
    region text, stream boolean, demo boolean, tokens bigint, nano_usd bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    due uuid[];
BEGIN
    due := ARRAY(
        SELECT r.request_id FROM public.reservations AS r
         WHERE r.state <> 'final' AND r.lease_until < before
         ORDER BY r.lease_until, r.request_id LIMIT at_most
           FOR UPDATE SKIP LOCKED
    );
    PERFORM public.gate_move(due, NULL, NULL, ARRAY['reserved', 'settled'], 'expired', at_time);
    RETURN QUERY
        SELECT r.request_id, r.org_id, r.workspace_id, r.key_id, r.provider, r.provider_key_id, r.model, r.endpoint,
               r.region, r.stream, r.demo, r.tokens, r.nano_usd
          FROM public.reservations AS r WHERE r.request_id = ANY (due) ORDER BY r.lease_until, r.request_id;
END $$;

-- Windows that ended decide nothing any more. What is being settled just now stays until the next time.
CREATE FUNCTION public.gate_forget_windows(before timestamptz, at_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH ended AS (
        SELECT c.id FROM public.limit_counters AS c WHERE c.ends_at < before ORDER BY c.ends_at LIMIT at_most
           FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM public.limit_counters AS c USING ended WHERE c.id = ended.id RETURNING c.id
    )
    SELECT count(*) FROM gone
$$;

REVOKE ALL ON FUNCTION
    public.gate_rank(text, text),
    public.gate_window(text, timestamptz),
    public.gate_price(text, text),
    public.gate_count(uuid, text, uuid, text, bigint, boolean, bigint, timestamptz),
    public.gate_move(uuid[], bigint[], bigint[], text[], text, timestamptz),
    public.gate_forget_windows(timestamptz, integer),
    public.gate_admit_within(uuid, bytea, text, text, text, text, boolean, timestamptz, bigint, bigint, timestamptz, bigint, bigint,
                             integer)
 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    public.gate_admit_within(uuid, bytea, text, text, text, text, boolean, timestamptz, bigint, bigint, timestamptz, bigint, bigint,
                             integer)
 TO navplane_gate;
GRANT EXECUTE ON FUNCTION public.gate_forget_windows(timestamptz, integer) TO navplane_writer;

SET LOCAL ROLE navplane_owner;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
