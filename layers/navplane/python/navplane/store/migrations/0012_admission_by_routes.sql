-- The admission by routes and policies: the name that a client wrote becomes targets, what policies, missing keys, prices and
-- bounds rule out is left out, and the worst of the rest is reserved. One statement, as before; gate/gate.py says what it promises.

-- A way to serve a request (model/route.py), and what it weighs; `refused` and `about` say why it is none.
CREATE TYPE public.gate_target AS (
    step integer, provider text, model text, weight integer, tokens bigint, nano_usd bigint, refused text, about text
);

-- What the request may use at most. The body holds `input` tokens (NULL: `tokens` and `nano_usd` are what to reserve), or the model
-- may read its context `contexts` times (NULL: nobody knows how often); it writes `output` (NULL: as many as it can).
CREATE TYPE public.gate_bounds AS (tokens bigint, nano_usd bigint, input bigint, output bigint, contexts integer);

-- What the limits in force ask about a request: its weight at all, its price, that the price is known, that there is a bound.
CREATE TYPE public.gate_needs AS (a_weight boolean, a_usd boolean, a_price boolean, a_bound boolean);

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
SET LOCAL ROLE navplane_gate_definer;

-- As in 0006_limits.sql, with the person between the key and the workspace.
CREATE OR REPLACE FUNCTION public.gate_rank(kind text, scope text) RETURNS integer LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT 5 * array_position(ARRAY['usd_per_month', 'usd_per_day', 'tokens_per_month', 'tokens_per_day', 'concurrent_streams',
                                    'requests_per_hour', 'requests_per_minute', 'tokens_per_minute'], kind)
           + array_position(ARRAY['key', 'user', 'workspace', 'organization', 'platform'], scope)
$$;

-- As in 0006_limits.sql; a counter is that of one organization, or of nobody.
CREATE OR REPLACE FUNCTION public.gate_count(
    of_org_id uuid, of_scope text, of_scope_id uuid, of_kind text, amount bigint, strict boolean, weight bigint, at_time timestamptz
) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    period   record := public.gate_window(of_kind, at_time);
    counted  bigint;
BEGIN
    FOR attempt IN 1..2 LOOP
        UPDATE public.limit_counters AS c SET used = c.used + weight
         WHERE c.scope_id = of_scope_id AND c.kind = of_kind AND c.window_name = period.name
           AND c.org_id IS NOT DISTINCT FROM of_org_id
           AND (weight = 0 OR CASE WHEN strict THEN c.used + weight <= amount ELSE c.used < amount END)
        RETURNING c.id INTO counted;
        EXIT WHEN FOUND OR attempt = 2;
        INSERT INTO public.limit_counters (org_id, scope, scope_id, kind, window_name, ends_at)
        VALUES (of_org_id, of_scope, of_scope_id, of_kind, period.name, period.ends_at) ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN counted;
END $$;

-- Who presents the key, with its row and its organization's locked before they are looked at: whoever disables the organization
-- or revokes the key waits for the admissions under way, and none follows. The organization's queue comes before the rows.
CREATE FUNCTION public.gate_caller(
    of_digest bytea, at_time timestamptz,
    OUT org_id uuid, OUT workspace_id uuid, OUT key_id uuid, OUT user_id uuid, OUT region text, OUT enabled boolean,
    OUT stream_usage text, OUT valid boolean
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(public.gate_queue_of(k.org_id)) FROM public.api_keys AS k WHERE k.digest = of_digest;
    SELECT k.org_id, k.workspace_id, k.id, k.owner_user_id, w.region, o.enabled, o.stream_usage,
           k.revoked_at IS NULL AND o.deleted_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > at_time)
      INTO org_id, workspace_id, key_id, user_id, region, enabled, stream_usage, valid
      FROM public.api_keys AS k
      JOIN public.organizations AS o ON o.id = k.org_id
      JOIN public.workspaces AS w ON w.org_id = k.org_id AND w.id = k.workspace_id
     WHERE k.digest = of_digest
       FOR SHARE OF k, o;
END $$;

-- The name that the policies forbid, the provider's or the model's; NULL if neither. The most specific one that says anything
-- about a name decides; in it, deny beats allow.
CREATE FUNCTION public.gate_forbidden(levels public.policies[], of_provider text, of_model text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    level        public.policies;
    on_provider  boolean;
    on_model     boolean;
BEGIN
    FOREACH level IN ARRAY levels LOOP
        on_provider := coalesce(on_provider, CASE
            WHEN of_provider = ANY (level.disabled_providers) THEN false
            WHEN level.enabled_providers <> '{}' THEN of_provider = ANY (level.enabled_providers) END);
        on_model := coalesce(on_model, CASE
            WHEN public.gate_matches(of_model, level.block_models) THEN false
            WHEN level.allow_models <> '{}' THEN public.gate_matches(of_model, level.allow_models) END);
    END LOOP;
    RETURN CASE WHEN NOT on_provider THEN of_provider WHEN NOT on_model THEN of_model END;
END $$;

-- Whether every condition holds: its attribute is there and matches one of its globs.
CREATE FUNCTION public.gate_holds(conditions jsonb, attributes jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT NOT EXISTS (
        SELECT FROM jsonb_to_recordset(conditions) AS c (attribute text, any_of jsonb)
         WHERE NOT public.gate_matches(attributes ->> c.attribute, ARRAY(SELECT jsonb_array_elements_text(c.any_of)))
    )
$$;

-- Where a name leads: the first route that applies, else `provider/model` taken apart, else what the registry said. What no
-- provider of `offering` serves is left out. Empty `targets`: nowhere.
CREATE FUNCTION public.gate_route(
    of_org_id uuid, of_workspace_id uuid, ask_provider text, ask_model text, asked jsonb,
    OUT route text, OUT workflow_version uuid, OUT when_billed boolean, OUT targets public.gate_target[]
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    offering  text[] := ARRAY(SELECT jsonb_array_elements_text(asked -> 'offering'));
    prefix    text := split_part(ask_model, '/', 1);
    taken     public.routes;
BEGIN
    when_billed := false;
    FOR taken IN
        SELECT r.* FROM public.routes AS r
         WHERE r.org_id = of_org_id AND (r.workspace_id IS NULL OR r.workspace_id = of_workspace_id)
           AND r.dialect = asked ->> 'dialect' AND public.gate_matches(ask_model, ARRAY[r.match])
           AND public.gate_holds(r.conditions, asked -> 'attributes')
         ORDER BY r.workspace_id IS NULL, r.position, r.id
    LOOP
        targets := ARRAY(
            SELECT (t.step, t.provider, coalesce(t.model, ask_model), t.weight, 0, 0, NULL, NULL)::public.gate_target
              FROM ROWS FROM (
                   jsonb_to_recordset(taken.targets) AS (step integer, provider text, model text, weight integer)
                   ) WITH ORDINALITY AS t (step, provider, model, weight, place)
             WHERE t.provider = ANY (offering) ORDER BY t.step, t.place
        );
        IF cardinality(targets) > 0 THEN
            route := taken.name;
            workflow_version := taken.workflow_version_id;
            when_billed := taken.fallback_when_billed;
            RETURN;
        END IF;
    END LOOP;
    targets := CASE
        WHEN prefix = ANY (offering) AND length(ask_model) > length(prefix) + 1 AND NOT (asked -> 'pinned')::boolean
            THEN ARRAY[(0, prefix, substr(ask_model, length(prefix) + 2), 1, 0, 0, NULL, NULL)::public.gate_target]
        WHEN ask_provider IS NOT NULL
            THEN ARRAY[(0, ask_provider, ask_model, 1, 0, 0, NULL, NULL)::public.gate_target]
        ELSE '{}' END;
END $$;

-- The limits that apply, those of the platform among them, as its scope.
CREATE FUNCTION public.gate_limits(of_org_id uuid, of_scopes uuid[]) RETURNS SETOF public.limits LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.* FROM public.limits AS l WHERE l.org_id = of_org_id AND l.scope_id = ANY (of_scopes)
    UNION ALL
    SELECT NULL, p.id, 'platform', '00000000-0000-0000-0000-000000000000', p.kind, p.amount, p.mode, p.allow_unpriced,
           p.created_at, p.updated_at
      FROM public.platform_limits AS p
$$;

CREATE FUNCTION public.gate_needs(limits public.limits[]) RETURNS public.gate_needs LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_or(l.kind ~ '^(usd|tokens)_'), false), coalesce(bool_or(l.kind LIKE 'usd%'), false),
           coalesce(bool_or(l.kind LIKE 'usd%' AND NOT l.allow_unpriced), false),
           coalesce(bool_or(l.kind ~ '^(usd|tokens)_' AND l.mode = 'strict'), false)
      FROM unnest(limits) AS l
$$;

-- The target with what it weighs at worst, or with the reason why that can't be told.
CREATE FUNCTION public.gate_weigh(INOUT target public.gate_target, bounds public.gate_bounds, needs public.gate_needs)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- As model/limit.py has them: what a model may write when nobody knows its maximum and no strict limit asks, and the most
    -- that is ever counted, so that a counter can't overflow.
    usual_output  constant bigint := 4096;
    most          constant numeric := 4000000000000000000;
    weighs        boolean := needs.a_weight AND (bounds.input, bounds.output, bounds.contexts) IS DISTINCT FROM (0, 0, 0);
    price         public.model_prices;
    input         numeric := bounds.input;
    output        bigint := bounds.output;
BEGIN
    IF bounds.input IS NULL THEN
        target.tokens := bounds.tokens;
        target.nano_usd := bounds.nano_usd;
        RETURN;
    END IF;
    -- Tokens alone need no list where the body bounds them.
    IF weighs AND (needs.a_usd OR output IS NULL OR bounds.contexts IS DISTINCT FROM 0) THEN
        SELECT * INTO price FROM public.gate_price(target.provider, target.model);
        input := CASE WHEN bounds.contexts = 0 THEN input ELSE bounds.contexts::numeric * price.context_tokens END;
        output := coalesce(output, price.max_output_tokens);
    END IF;
    target.refused := CASE
        WHEN weighs AND needs.a_price AND price.provider IS NULL THEN 'model_unpriced'
        WHEN weighs AND needs.a_bound AND (input IS NULL OR output IS NULL) THEN 'unbounded_request' END;
    target.about := CASE WHEN target.refused IS NOT NULL THEN target.model END;
    input := coalesce(input, bounds.input);
    output := coalesce(output, usual_output);
    target.tokens := least(input + output, most);
    target.nano_usd := CASE WHEN price.provider IS NULL THEN 0 ELSE
        least(input * price.input_nano_usd + output::numeric * price.output_nano_usd + price.request_nano_usd, most) END;
END $$;

-- The targets, each with what it weighs or with why it is out: forbidden, without a key of its provider, without a price or a bound.
CREATE FUNCTION public.gate_judge(
    targets public.gate_target[], levels public.policies[], holding text[], bounds public.gate_bounds, needs public.gate_needs,
    also_models text[]
) RETURNS public.gate_target[] LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target  public.gate_target;
    model   text;
BEGIN
    FOR place IN 1..cardinality(targets) LOOP
        target := targets[place];
        FOREACH model IN ARRAY ARRAY[target.model] || also_models LOOP
            target.about := coalesce(target.about, public.gate_forbidden(levels, target.provider, model));
        END LOOP;
        IF target.about IS NOT NULL THEN
            target.refused := 'model_not_allowed';
        ELSIF NOT target.provider = ANY (holding) THEN
            target.refused := 'provider_key_missing';
            target.about := target.provider;
        ELSE
            target := public.gate_weigh(target, bounds, needs);
        END IF;
        targets[place] := target;
    END LOOP;
    RETURN targets;
END $$;

-- Adds the weight to every counter, in their one order. The first limit that has no room for it is answered as `refused`, by its
-- scope and kind; the caller then takes back what was counted.
CREATE FUNCTION public.gate_count_all(
    limits public.limits[], tokens bigint, nano_usd bigint, stream boolean, at_time timestamptz, OUT counters bigint[], OUT over text
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bound    public.limits;
    counted  bigint;
BEGIN
    counters := '{}';
    FOR bound IN
        SELECT l.* FROM unnest(limits) AS l
         WHERE l.kind <> 'concurrent_streams' OR stream ORDER BY public.gate_rank(l.kind, l.scope)
    LOOP
        counted := public.gate_count(
            bound.org_id, bound.scope, bound.scope_id, bound.kind, bound.amount, bound.mode = 'strict',
            CASE split_part(bound.kind, '_per_', 1) WHEN 'usd' THEN nano_usd WHEN 'tokens' THEN tokens ELSE 1 END, at_time);
        IF counted IS NULL THEN
            over := bound.scope || ' ' || bound.kind;
            RETURN;
        END IF;
        counters := counters || counted;
    END LOOP;
END $$;

-- One row that refuses (`refused` is set, in the order of gate.RefusalReason), or one row per candidate. `asked` is what routes
-- and policies look at: dialect, pinned, offering, attributes, files, also_models.
-- The caller's rows are locked first, then the request id is taken, then the counters. Where a limit refuses, all of that is
-- taken back.
CREATE FUNCTION public.gate_admit_routed(
    ask_request_id uuid, ask_digest bytea, ask_endpoint text, ask_provider text, ask_model text, ask_region text,
    ask_stream boolean, ask_lease_until timestamptz, ask_tokens bigint, ask_nano_usd bigint, ask_now timestamptz,
    ask_input_tokens bigint, ask_output_tokens bigint, ask_contexts integer, asked jsonb
) RETURNS TABLE (
    refused text, about text, caller_org_id uuid, caller_workspace_id uuid, caller_key_id uuid, usage_mode text,
    route_name text, route_version uuid, when_billed boolean,
    candidate_step integer, candidate_provider text, candidate_model text, candidate_weight integer,
    candidate_id uuid, candidate_region text, candidate_base_url text, candidate_demo boolean, candidate_sealed bytea
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    caller   record;
    scopes   uuid[];
    levels   public.policies[];
    limits   public.limits[];
    needs    public.gate_needs;
    taken    record;
    targets  public.gate_target[];
    keys     public.provider_keys[];
    first    public.provider_keys;
    worst    record;
    counted  record;
    durable  text := current_setting('synchronous_commit');
BEGIN
    -- Nobody waits for the disk but where a strict budget must outlive a crash: until some tenths of a second before one, what
    -- else was reserved is there again, and its usage events make their rows in any case.
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO caller FROM public.gate_caller(ask_digest, ask_now);
    caller_org_id := caller.org_id;
    caller_workspace_id := caller.workspace_id;
    caller_key_id := caller.key_id;
    scopes := ARRAY[caller.key_id, caller.user_id, caller.workspace_id, caller.org_id];
    levels := ARRAY(
        SELECT p FROM public.policies AS p WHERE p.org_id = caller.org_id AND p.scope_id = ANY (scopes)
         ORDER BY array_position(ARRAY['key', 'workspace', 'organization'], p.scope)
    );
    refused := CASE
        WHEN caller.valid IS NOT TRUE THEN 'invalid_key'
        WHEN NOT caller.enabled THEN 'organization_disabled'
        WHEN caller.region <> ask_region THEN 'region_mismatch'
        WHEN (asked -> 'files')::boolean AND (
             SELECT l.allow_files FROM unnest(levels) AS l WHERE l.allow_files IS NOT NULL LIMIT 1
             ) IS NOT TRUE THEN 'endpoint_not_allowed' END;
    IF refused IS NOT NULL THEN
        about := CASE refused WHEN 'region_mismatch' THEN caller.region END;
        RETURN NEXT;
        RETURN;
    END IF;

    SELECT * INTO taken FROM public.gate_route(caller.org_id, caller.workspace_id, ask_provider, ask_model, asked);
    IF cardinality(taken.targets) = 0 THEN
        refused := 'model_not_found';
        about := ask_model;
        RETURN NEXT;
        RETURN;
    END IF;
    keys := ARRAY(
        SELECT p FROM public.provider_keys AS p
         WHERE p.org_id = caller.org_id AND p.region = caller.region AND p.deleted_at IS NULL
           AND p.provider IN (SELECT t.provider FROM unnest(taken.targets) AS t)
         ORDER BY p.created_at DESC, p.id DESC
    );
    limits := ARRAY(SELECT l FROM public.gate_limits(caller.org_id, scopes) AS l);
    needs := public.gate_needs(limits);
    IF needs.a_bound THEN
        PERFORM set_config('synchronous_commit', durable, true);
    END IF;
    targets := public.gate_judge(
        taken.targets, levels, ARRAY(SELECT k.provider FROM unnest(keys) AS k),
        ROW(ask_tokens, ask_nano_usd, ask_input_tokens, ask_output_tokens, ask_contexts), needs,
        ARRAY(SELECT jsonb_array_elements_text(asked -> 'also_models')));
    -- What any target may cost, and where the next one may be tried although the one before cost money, what all may together.
    SELECT CASE WHEN taken.when_billed THEN sum(s.tokens) ELSE max(s.tokens) END::bigint AS tokens,
           CASE WHEN taken.when_billed THEN sum(s.nano_usd) ELSE max(s.nano_usd) END::bigint AS nano_usd, min(s.place) AS place
      INTO worst
      FROM (SELECT max(t.tokens) AS tokens, max(t.nano_usd) AS nano_usd, min(t.ordinality) AS place
              FROM unnest(targets) WITH ORDINALITY AS t WHERE t.refused IS NULL GROUP BY t.step) AS s;
    IF worst.place IS NULL THEN
        refused := targets[1].refused;
        about := targets[1].about;
        RETURN NEXT;
        RETURN;
    END IF;

    SELECT * INTO first FROM unnest(keys) AS k WHERE k.provider = targets[worst.place].provider LIMIT 1;
    BEGIN
        INSERT INTO public.reservations (
            request_id, org_id, workspace_id, key_id, provider, provider_key_id, model, endpoint, region, stream, demo,
            state, tokens, nano_usd, lease_until, created_at, updated_at
        ) VALUES (
            ask_request_id, caller.org_id, caller.workspace_id, caller.key_id, first.provider, first.id, ask_model, ask_endpoint,
            ask_region, ask_stream, first.demo, 'reserved', worst.tokens, worst.nano_usd, ask_lease_until, ask_now, ask_now
        ) ON CONFLICT (request_id) DO NOTHING;
        IF NOT FOUND THEN
            -- The id is taken: by this very request, asked again, or by one that has been closed meanwhile.
            IF NOT EXISTS (
                SELECT FROM public.reservations AS r
                 WHERE r.request_id = ask_request_id AND r.state = 'reserved' AND r.key_id = caller.key_id
            ) THEN
                refused := 'closed';
                RETURN NEXT;
                RETURN;
            END IF;
        ELSIF cardinality(limits) > 0 THEN
            SELECT * INTO counted FROM public.gate_count_all(limits, worst.tokens, worst.nano_usd, ask_stream, ask_now);
            IF counted.over IS NOT NULL THEN
                RAISE EXCEPTION 'over a limit' USING ERRCODE = 'NP001';
            END IF;
            UPDATE public.reservations AS r SET counters = counted.counters WHERE r.request_id = ask_request_id;
        END IF;
    EXCEPTION WHEN SQLSTATE 'NP001' THEN
        about := counted.over;
        refused := CASE WHEN about ~ ' (usd|tokens)_per_(day|month)$' THEN 'budget_exceeded' ELSE 'rate_limited' END;
        RETURN NEXT;
        RETURN;
    END;
    -- A target's share is its weight, split among the keys for its provider by theirs.
    RETURN QUERY
        SELECT NULL::text, NULL::text, caller_org_id, caller_workspace_id, caller_key_id, caller.stream_usage::text,
               taken.route::text, taken.workflow_version::uuid, taken.when_billed::boolean,
               (dense_rank() OVER (ORDER BY t.step) - 1)::integer, t.provider, t.model,
               greatest(1, 1000::bigint * t.weight * k.weight / sum(k.weight) OVER (PARTITION BY t.ordinality))::integer,
               k.id, k.region, k.base_url, k.demo, k.sealed
          FROM unnest(targets) WITH ORDINALITY AS t
          JOIN unnest(keys) WITH ORDINALITY AS k ON k.provider = t.provider
         WHERE t.refused IS NULL
         ORDER BY t.ordinality, k.ordinality;
END $$;

-- As in 0006_limits.sql, but that nobody waits for the disk: what is lost with it is made good by finalize or the reaper.
CREATE OR REPLACE FUNCTION public.gate_settle(settled_request_id uuid, settled_tokens bigint, settled_nano_usd bigint, at_time timestamptz)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM public.gate_move(ARRAY[settled_request_id], ARRAY[settled_tokens], ARRAY[settled_nano_usd],
                             ARRAY['reserved'], 'settled', at_time);
END $$;

-- For the proxies of the release before, which know no routes and can't put another model into a body. What they call by
-- gate_admit of 0003_gate.sql comes here, too.
CREATE OR REPLACE FUNCTION public.gate_admit_within(
    ask_request_id uuid, ask_digest bytea, ask_endpoint text, ask_provider text, ask_model text, ask_region text,
    ask_stream boolean, ask_lease_until timestamptz, ask_tokens bigint, ask_nano_usd bigint, ask_now timestamptz,
    ask_input_tokens bigint, ask_output_tokens bigint, ask_contexts integer
) RETURNS TABLE (
    refused text, about text, caller_org_id uuid, caller_workspace_id uuid, caller_key_id uuid, usage_mode text,
    candidate_id uuid, candidate_region text, candidate_base_url text, candidate_demo boolean, candidate_sealed bytea
) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.refused, a.about, a.caller_org_id, a.caller_workspace_id, a.caller_key_id, a.usage_mode,
           a.candidate_id, a.candidate_region, a.candidate_base_url, a.candidate_demo, a.candidate_sealed
      FROM public.gate_admit_routed(
           ask_request_id, ask_digest, ask_endpoint, ask_provider, ask_model, ask_region, ask_stream, ask_lease_until, ask_tokens,
           ask_nano_usd, ask_now, ask_input_tokens, ask_output_tokens, ask_contexts,
           '{"pinned": true, "offering": [], "attributes": {}, "files": false, "also_models": []}') AS a
$$;

REVOKE ALL ON FUNCTION
    public.gate_caller(bytea, timestamptz),
    public.gate_forbidden(public.policies[], text, text),
    public.gate_holds(jsonb, jsonb),
    public.gate_route(uuid, uuid, text, text, jsonb),
    public.gate_limits(uuid, uuid[]),
    public.gate_needs(public.limits[]),
    public.gate_weigh(public.gate_target, public.gate_bounds, public.gate_needs),
    public.gate_judge(public.gate_target[], public.policies[], text[], public.gate_bounds, public.gate_needs, text[]),
    public.gate_count_all(public.limits[], bigint, bigint, boolean, timestamptz),
    public.gate_admit_routed(uuid, bytea, text, text, text, text, boolean, timestamptz, bigint, bigint, timestamptz, bigint, bigint,
                             integer, jsonb)
 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    public.gate_admit_routed(uuid, bytea, text, text, text, text, boolean, timestamptz, bigint, bigint, timestamptz, bigint, bigint,
                             integer, jsonb)
 TO navplane_gate;

SET LOCAL ROLE navplane_owner;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
