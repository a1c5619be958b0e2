-- The gate: what the hot path may ask, as functions of one role that owns nothing else. gate/gate.py says what they promise.
-- navplane_gate may execute them and read no table at all.

-- What the functions touch, and no more. FOR SHARE asks for the right to update, so there is one, under a policy that no
-- changed row passes: the definer can lock organizations and keys and can't alter them.
CREATE POLICY gate ON public.organizations FOR SELECT TO navplane_gate_definer USING (true);
CREATE POLICY gate_lock ON public.organizations FOR UPDATE TO navplane_gate_definer USING (true) WITH CHECK (false);
CREATE POLICY gate ON public.api_keys FOR SELECT TO navplane_gate_definer USING (true);
CREATE POLICY gate_lock ON public.api_keys FOR UPDATE TO navplane_gate_definer USING (true) WITH CHECK (false);
CREATE POLICY gate ON public.workspaces FOR SELECT TO navplane_gate_definer USING (true);
CREATE POLICY gate ON public.provider_keys FOR SELECT TO navplane_gate_definer USING (true);
CREATE POLICY gate ON public.org_provider_settings FOR SELECT TO navplane_gate_definer USING (true);
CREATE POLICY gate ON public.reservations FOR SELECT TO navplane_gate_definer USING (true);
CREATE POLICY gate_insert ON public.reservations FOR INSERT TO navplane_gate_definer WITH CHECK (true);
CREATE POLICY gate_update ON public.reservations FOR UPDATE TO navplane_gate_definer USING (true) WITH CHECK (true);
GRANT SELECT ON public.organizations, public.api_keys, public.workspaces, public.provider_keys, public.org_provider_settings
   TO navplane_gate_definer;
GRANT UPDATE (updated_at) ON public.organizations, public.api_keys TO navplane_gate_definer;
GRANT SELECT, INSERT, UPDATE ON public.reservations TO navplane_gate_definer;

-- Globs as in model/policy.py: `*` is any run of characters, everything else is itself.
CREATE FUNCTION public.gate_matches(model text, patterns text[]) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM unnest(patterns) AS pattern
         WHERE model LIKE replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')
    )
$$;

-- Row locks are not fair: those who share a row can keep whoever wants to change it waiting for as long as they overlap. So
-- admissions also share a lock of the organization that is granted in order, and a change of the organization or its keys
-- queues for it, before it touches a row. Correctness rests on the row locks alone; this bounds the wait.
CREATE FUNCTION public.gate_queue_of(of_org_id uuid) RETURNS bigint LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT hashtextextended('navplane.gate:' || of_org_id::text, 0)
$$;
CREATE FUNCTION public.gate_queue_up() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed uuid := NULLIF(current_setting('app.org_id', true), '')::uuid;
BEGIN
    IF changed IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(public.gate_queue_of(changed));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER gate_queue BEFORE UPDATE ON public.organizations FOR EACH STATEMENT EXECUTE FUNCTION public.gate_queue_up();
CREATE TRIGGER gate_queue BEFORE UPDATE ON public.api_keys FOR EACH STATEMENT EXECUTE FUNCTION public.gate_queue_up();

-- One row that refuses (`refused` is set), or one row per candidate. The caller's rows are locked before they are looked at:
-- whoever disables the organization or revokes the key waits for the admissions under way, and none follows.
CREATE FUNCTION public.gate_admit(
    ask_request_id uuid, ask_digest bytea, ask_endpoint text, ask_provider text, ask_model text, ask_region text,
    ask_stream boolean, ask_lease_until timestamptz, ask_tokens bigint, ask_nano_usd bigint, ask_now timestamptz
) RETURNS TABLE (
    refused text, about text, caller_org_id uuid, caller_workspace_id uuid, caller_key_id uuid, usage_mode text,
    candidate_id uuid, candidate_region text, candidate_base_url text, candidate_demo boolean, candidate_sealed bytea
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    caller      record;
    policy      record;
    candidates  public.provider_keys[];
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
        ELSE
            refused := NULL;
    END CASE;
    IF refused IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;

    INSERT INTO public.reservations (
        request_id, org_id, workspace_id, key_id, provider, provider_key_id, model, endpoint, region, stream, demo,
        state, tokens, nano_usd, lease_until, created_at, updated_at
    ) VALUES (
        ask_request_id, caller.org_id, caller.workspace_id, caller.id, ask_provider, candidates[1].id, ask_model, ask_endpoint,
        ask_region, ask_stream, candidates[1].demo, 'reserved', ask_tokens, ask_nano_usd, ask_lease_until, ask_now, ask_now
    ) ON CONFLICT (request_id) DO NOTHING;
    -- The id is taken: by this very request, asked again, or by one that has been closed meanwhile.
    IF NOT FOUND AND NOT EXISTS (
        SELECT FROM public.reservations AS r
         WHERE r.request_id = ask_request_id AND r.state = 'reserved' AND r.key_id = caller.id
    ) THEN
        refused := 'closed';
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT NULL::text, NULL::text, caller.org_id::uuid, caller.workspace_id::uuid, caller.id::uuid, caller.stream_usage::text,
               p.id, p.region, p.base_url, p.demo, p.sealed
          FROM unnest(candidates) AS p;
END $$;

-- Parallel arrays in, one row per pair out, in their order: NULL while the caller may go on.
CREATE FUNCTION public.gate_standing(org_ids uuid[], key_ids uuid[], at_time timestamptz) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
           WHEN k.id IS NULL OR k.revoked_at IS NOT NULL OR k.expires_at <= at_time OR o.deleted_at IS NOT NULL THEN 'invalid_key'
           WHEN NOT o.enabled THEN 'organization_disabled'
           END
      FROM unnest(org_ids, key_ids) WITH ORDINALITY AS caller (org_id, key_id, position)
      LEFT JOIN public.api_keys AS k ON k.org_id = caller.org_id AND k.id = caller.key_id
      LEFT JOIN public.organizations AS o ON o.id = k.org_id
     ORDER BY caller.position
$$;

CREATE FUNCTION public.gate_settle(settled_request_id uuid, settled_tokens bigint, settled_nano_usd bigint, at_time timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE public.reservations
       SET state = 'settled', tokens = settled_tokens, nano_usd = settled_nano_usd, updated_at = at_time
     WHERE request_id = settled_request_id AND state = 'reserved'
$$;

-- A request id that is not known gets a final row of its own, so that an admission still under way can't open it afterwards.
CREATE FUNCTION public.gate_finalize(final_request_ids uuid[], final_tokens bigint[], final_nano_usd bigint[], at_time timestamptz)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.reservations AS r (request_id, state, tokens, nano_usd, created_at, updated_at)
    SELECT f.request_id, 'final', f.tokens, f.nano_usd, at_time, at_time
      FROM unnest(final_request_ids, final_tokens, final_nano_usd) AS f (request_id, tokens, nano_usd)
     ORDER BY f.request_id
        ON CONFLICT (request_id) DO UPDATE
       SET state = 'final', tokens = excluded.tokens, nano_usd = excluded.nano_usd, updated_at = at_time
     WHERE (r.state, r.tokens, r.nano_usd) IS DISTINCT FROM ('final', excluded.tokens, excluded.nano_usd)
$$;

CREATE FUNCTION public.gate_expire(before timestamptz, at_most integer, at_time timestamptz) RETURNS TABLE (
    request_id uuid, org_id uuid, workspace_id uuid, key_id uuid, provider text, provider_key_id uuid, model text, endpoint text,
    region text, stream boolean, demo boolean, tokens bigint, nano_usd bigint
) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH due AS (
        SELECT r.request_id FROM public.reservations AS r
         WHERE r.state <> 'final' AND r.lease_until < before
         ORDER BY r.lease_until, r.request_id LIMIT at_most
           FOR UPDATE SKIP LOCKED
    ), expired AS (
        UPDATE public.reservations AS r SET state = 'expired', updated_at = at_time
          FROM due WHERE r.request_id = due.request_id RETURNING r.*
    )
    SELECT e.request_id, e.org_id, e.workspace_id, e.key_id, e.provider, e.provider_key_id, e.model, e.endpoint,
           e.region, e.stream, e.demo, e.tokens, e.nano_usd
      FROM expired AS e ORDER BY e.lease_until, e.request_id
$$;

CREATE FUNCTION public.gate_ready() RETURNS void LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT FROM public.reservations LIMIT 1
$$;

-- Whose rows usage events are: by the reservation, else by the key's own row. Parallel arrays in; what is neither is left out.
CREATE FUNCTION public.usage_owners(request_ids uuid[], key_ids uuid[]) RETURNS TABLE (
    request_id uuid, org_id uuid, workspace_id uuid, key_id uuid
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT asked.request_id, coalesce(r.org_id, k.org_id), coalesce(r.workspace_id, k.workspace_id), coalesce(r.key_id, k.id)
      FROM unnest(request_ids, key_ids) AS asked (request_id, key_id)
      LEFT JOIN public.reservations AS r ON r.request_id = asked.request_id AND r.org_id IS NOT NULL
      LEFT JOIN public.api_keys AS k ON k.id = asked.key_id
     WHERE r.request_id IS NOT NULL OR k.id IS NOT NULL
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    public.gate_admit(uuid, bytea, text, text, text, text, boolean, timestamptz, bigint, bigint, timestamptz),
    public.gate_standing(uuid[], uuid[], timestamptz),
    public.gate_settle(uuid, bigint, bigint, timestamptz)
 TO navplane_gate;
GRANT EXECUTE ON FUNCTION
    public.gate_finalize(uuid[], bigint[], bigint[], timestamptz),
    public.gate_expire(timestamptz, integer, timestamptz),
    public.usage_owners(uuid[], uuid[])
 TO navplane_writer;
GRANT EXECUTE ON FUNCTION public.gate_ready() TO navplane_gate, navplane_writer;

-- The functions act as their owner, and their owner is the definer. It may create nothing else.
GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.gate_queue_of(uuid) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_queue_up() OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_matches(text, text[]) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_admit(uuid, bytea, text, text, text, text, boolean, timestamptz, bigint, bigint, timestamptz)
    OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_standing(uuid[], uuid[], timestamptz) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_settle(uuid, bigint, bigint, timestamptz) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_finalize(uuid[], bigint[], bigint[], timestamptz) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_expire(timestamptz, integer, timestamptz) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_ready() OWNER TO navplane_gate_definer;
ALTER FUNCTION public.usage_owners(uuid[], uuid[]) OWNER TO navplane_gate_definer;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
