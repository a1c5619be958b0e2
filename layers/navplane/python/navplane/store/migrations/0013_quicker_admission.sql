-- The admission of 0012_admission_by_routes.sql in two thirds of the time, with the same answers: the rules are read by one statement,
-- and what follows is reckoned in plain steps, which cost a microsecond or two where each further query costs tens of them.
-- gate_route and gate_limits stay for admissions that run while this is applied.

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
SET LOCAL ROLE navplane_gate_definer;

-- What a request is decided by: the policies that apply, the most specific first; the routes that match, in their order; the limits,
-- those of the platform among them.
CREATE FUNCTION public.gate_rules(
    of_org_id uuid, of_workspace_id uuid, of_scopes uuid[], ask_model text, asked jsonb,
    OUT levels public.policies[], OUT routes public.routes[], OUT limits public.limits[]
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT ARRAY(
               SELECT p FROM public.policies AS p WHERE p.org_id = of_org_id AND p.scope_id = ANY (of_scopes)
                ORDER BY array_position(ARRAY['key', 'workspace', 'organization'], p.scope)),
           ARRAY(
               SELECT r FROM public.routes AS r
                WHERE r.org_id = of_org_id AND (r.workspace_id IS NULL OR r.workspace_id = of_workspace_id)
                  AND r.dialect = asked ->> 'dialect' AND public.gate_matches(ask_model, ARRAY[r.match])
                  AND public.gate_holds(r.conditions, asked -> 'attributes')
                ORDER BY r.workspace_id IS NULL, r.position, r.id),
           ARRAY(
               SELECT l FROM public.limits AS l WHERE l.org_id = of_org_id AND l.scope_id = ANY (of_scopes)
               UNION ALL
               SELECT (NULL, p.id, 'platform', '00000000-0000-0000-0000-000000000000', p.kind, p.amount, p.mode, p.allow_unpriced,
                       p.created_at, p.updated_at)::public.limits
                 FROM public.platform_limits AS p)
      INTO levels, routes, limits;
END $$;

CREATE FUNCTION public.gate_allows_files(levels public.policies[]) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    level  public.policies;
BEGIN
    FOREACH level IN ARRAY levels LOOP
        IF level.allow_files IS NOT NULL THEN
            RETURN level.allow_files;
        END IF;
    END LOOP;
    RETURN false;
END $$;

-- As gate_route of 0012_admission_by_routes.sql, over routes that match; `providers` are those of the targets.
CREATE FUNCTION public.gate_destination(
    routes public.routes[], ask_provider text, ask_model text, asked jsonb,
    OUT route text, OUT workflow_version uuid, OUT when_billed boolean, OUT targets public.gate_target[], OUT providers text[]
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    taken   public.routes;
    prefix  text := split_part(ask_model, '/', 1);
BEGIN
    FOREACH taken IN ARRAY routes LOOP
        SELECT array_agg((t.step, t.provider, coalesce(t.model, ask_model), t.weight, 0, 0, NULL, NULL)::public.gate_target
                         ORDER BY t.step, t.place),
               array_agg(t.provider)
          INTO targets, providers
          FROM ROWS FROM (
               jsonb_to_recordset(taken.targets) AS (step integer, provider text, model text, weight integer)
               ) WITH ORDINALITY AS t (step, provider, model, weight, place)
         WHERE asked -> 'offering' ? t.provider;
        IF targets IS NOT NULL THEN
            route := taken.name;
            workflow_version := taken.workflow_version_id;
            when_billed := taken.fallback_when_billed;
            RETURN;
        END IF;
    END LOOP;
    when_billed := false;
    IF asked -> 'offering' ? prefix AND length(ask_model) > length(prefix) + 1 AND NOT (asked -> 'pinned')::boolean THEN
        targets := ARRAY[(0, prefix, substr(ask_model, length(prefix) + 2), 1, 0, 0, NULL, NULL)::public.gate_target];
        providers := ARRAY[prefix];
    ELSIF ask_provider IS NOT NULL THEN
        targets := ARRAY[(0, ask_provider, ask_model, 1, 0, 0, NULL, NULL)::public.gate_target];
        providers := ARRAY[ask_provider];
    END IF;
END $$;

-- As in 0012_admission_by_routes.sql.
CREATE OR REPLACE FUNCTION public.gate_judge(
    targets public.gate_target[], levels public.policies[], holding text[], bounds public.gate_bounds, needs public.gate_needs,
    also_models text[]
) RETURNS public.gate_target[] LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target  public.gate_target;
    model   text;
BEGIN
    FOR place IN 1..cardinality(targets) LOOP
        target := targets[place];
        IF cardinality(levels) > 0 THEN
            FOREACH model IN ARRAY ARRAY[target.model] || also_models LOOP
                target.about := coalesce(target.about, public.gate_forbidden(levels, target.provider, model));
            END LOOP;
        END IF;
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

-- What any target that is not out may cost, and where the next step may be tried although the one before cost money, what all steps
-- may together; and the place of the first such target, NULL if there is none.
CREATE FUNCTION public.gate_worst(
    targets public.gate_target[], when_billed boolean, OUT tokens bigint, OUT nano_usd bigint, OUT place integer
) LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most         constant numeric := 4000000000000000000;
    target       public.gate_target;
    last_step    integer;
    tokens_then  numeric := 0;
    nano_then    numeric := 0;
BEGIN
    tokens := 0;
    nano_usd := 0;
    FOR at IN 1..cardinality(targets) LOOP
        target := targets[at];
        CONTINUE WHEN target.refused IS NOT NULL;
        place := coalesce(place, at);
        IF when_billed AND target.step IS DISTINCT FROM last_step THEN
            last_step := target.step;
            tokens_then := tokens;
            nano_then := nano_usd;
        END IF;
        tokens := least(greatest(tokens, tokens_then + target.tokens), most);
        nano_usd := least(greatest(nano_usd, nano_then + target.nano_usd), most);
    END LOOP;
END $$;

-- As in 0012_admission_by_routes.sql.
CREATE OR REPLACE FUNCTION public.gate_admit_routed(
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
    durable      text := current_setting('synchronous_commit');
    caller       record;
    rules        record;
    needs        public.gate_needs := ROW(false, false, false, false);
    taken        record;
    also_models  text[] := '{}';
    keys         public.provider_keys[];
    key          public.provider_keys;
    holding      text[] := '{}';
    targets      public.gate_target[];
    target       public.gate_target;
    worst        record;
    first        public.provider_keys;
    counted      record;
    last_step    integer;
    share        bigint;
BEGIN
    -- Nobody waits for the disk but where a strict budget must outlive a crash: until some tenths of a second before one, what
    -- else was reserved is there again, and its usage events make their rows in any case.
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO caller FROM public.gate_caller(ask_digest, ask_now);
    caller_org_id := caller.org_id;
    caller_workspace_id := caller.workspace_id;
    caller_key_id := caller.key_id;
    SELECT * INTO rules FROM public.gate_rules(
        caller.org_id, caller.workspace_id, ARRAY[caller.key_id, caller.user_id, caller.workspace_id, caller.org_id], ask_model, asked);
    refused := CASE
        WHEN caller.valid IS NOT TRUE THEN 'invalid_key'
        WHEN NOT caller.enabled THEN 'organization_disabled'
        WHEN caller.region <> ask_region THEN 'region_mismatch'
        WHEN (asked -> 'files')::boolean AND NOT public.gate_allows_files(rules.levels) THEN 'endpoint_not_allowed' END;
    IF refused IS NOT NULL THEN
        about := CASE refused WHEN 'region_mismatch' THEN caller.region END;
        RETURN NEXT;
        RETURN;
    END IF;

    SELECT * INTO taken FROM public.gate_destination(rules.routes, ask_provider, ask_model, asked);
    IF taken.targets IS NULL THEN
        refused := 'model_not_found';
        about := ask_model;
        RETURN NEXT;
        RETURN;
    END IF;
    keys := ARRAY(
        SELECT p FROM public.provider_keys AS p
         WHERE p.org_id = caller.org_id AND p.provider = ANY (taken.providers) AND p.region = caller.region AND p.deleted_at IS NULL
         ORDER BY p.created_at DESC, p.id DESC
    );
    FOREACH key IN ARRAY keys LOOP
        holding := holding || key.provider;
    END LOOP;
    IF cardinality(rules.limits) > 0 THEN
        needs := public.gate_needs(rules.limits);
        IF needs.a_bound THEN
            PERFORM set_config('synchronous_commit', durable, true);
        END IF;
    END IF;
    IF jsonb_array_length(asked -> 'also_models') > 0 THEN
        also_models := ARRAY(SELECT jsonb_array_elements_text(asked -> 'also_models'));
    END IF;
    targets := public.gate_judge(
        taken.targets, rules.levels, holding,
        ROW(ask_tokens, ask_nano_usd, ask_input_tokens, ask_output_tokens, ask_contexts), needs, also_models);
    SELECT * INTO worst FROM public.gate_worst(targets, taken.when_billed);
    IF worst.place IS NULL THEN
        refused := targets[1].refused;
        about := targets[1].about;
        RETURN NEXT;
        RETURN;
    END IF;

    FOREACH key IN ARRAY keys LOOP
        first := key;
        EXIT WHEN key.provider = targets[worst.place].provider;
    END LOOP;
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
        ELSIF cardinality(rules.limits) > 0 THEN
            SELECT * INTO counted
              FROM public.gate_count_all(rules.limits, worst.tokens, worst.nano_usd, ask_stream, ask_now);
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

    usage_mode := caller.stream_usage;
    route_name := taken.route;
    route_version := taken.workflow_version;
    when_billed := taken.when_billed;
    candidate_step := -1;
    FOREACH target IN ARRAY targets LOOP
        CONTINUE WHEN target.refused IS NOT NULL;
        -- What was left out leaves no gap between the steps.
        IF target.step IS DISTINCT FROM last_step THEN
            last_step := target.step;
            candidate_step := candidate_step + 1;
        END IF;
        candidate_provider := target.provider;
        candidate_model := target.model;
        -- A target's share is its weight, split among the keys for its provider by theirs.
        share := 0;
        FOREACH key IN ARRAY keys LOOP
            share := share + CASE WHEN key.provider = target.provider THEN key.weight ELSE 0 END;
        END LOOP;
        FOREACH key IN ARRAY keys LOOP
            CONTINUE WHEN key.provider <> target.provider;
            candidate_weight := greatest(1, 1000::bigint * target.weight * key.weight / share);
            candidate_id := key.id;
            candidate_region := key.region;
            candidate_base_url := key.base_url;
            candidate_demo := key.demo;
            candidate_sealed := key.sealed;
            RETURN NEXT;
        END LOOP;
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION
    public.gate_rules(uuid, uuid, uuid[], text, jsonb),
    public.gate_allows_files(public.policies[]),
    public.gate_destination(public.routes[], text, text, jsonb),
    public.gate_worst(public.gate_target[], boolean)
 FROM PUBLIC;

SET LOCAL ROLE navplane_owner;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
