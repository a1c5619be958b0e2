-- What a key may call, for the list of models: the aliases of routes, and the models with a known price of the providers that the
-- organization has a key for. The policies decide as in the admission. One row that refuses, or one row per name: `provider` is
-- NULL for an alias.

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
SET LOCAL ROLE navplane_gate_definer;

CREATE FUNCTION public.gate_models(
    ask_digest bytea, ask_dialect text, ask_region text, ask_offering text[], ask_now timestamptz
) RETURNS TABLE (
    refused text, about text, caller_org_id uuid, caller_workspace_id uuid, caller_key_id uuid, provider text, model text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    caller   record;
    levels   public.policies[];
    holding  text[];
BEGIN
    SELECT * INTO caller FROM public.gate_caller(ask_digest, ask_now);
    caller_org_id := caller.org_id;
    caller_workspace_id := caller.workspace_id;
    caller_key_id := caller.key_id;
    refused := CASE
        WHEN caller.valid IS NOT TRUE THEN 'invalid_key'
        WHEN NOT caller.enabled THEN 'organization_disabled'
        WHEN caller.region <> ask_region THEN 'region_mismatch' END;
    IF refused IS NOT NULL THEN
        about := CASE refused WHEN 'region_mismatch' THEN caller.region END;
        RETURN NEXT;
        RETURN;
    END IF;
    levels := ARRAY(
        SELECT p FROM public.policies AS p
         WHERE p.org_id = caller.org_id AND p.scope_id = ANY (ARRAY[caller.key_id, caller.workspace_id, caller.org_id])
         ORDER BY array_position(ARRAY['key', 'workspace', 'organization'], p.scope)
    );
    holding := ARRAY(
        SELECT DISTINCT k.provider FROM public.provider_keys AS k
         WHERE k.org_id = caller.org_id AND k.region = caller.region AND k.deleted_at IS NULL AND k.provider = ANY (ask_offering)
    );
    RETURN QUERY
        SELECT NULL::text, NULL::text, caller.org_id::uuid, caller.workspace_id::uuid, caller.key_id::uuid, names.provider, names.model
          FROM (
              SELECT DISTINCT NULL::text AS provider, r.match AS model
                FROM public.routes AS r, jsonb_to_recordset(r.targets) AS t (provider text, model text)
               WHERE r.org_id = caller.org_id AND (r.workspace_id IS NULL OR r.workspace_id = caller.workspace_id)
                 AND r.dialect = ask_dialect AND strpos(r.match, '*') = 0 AND t.provider = ANY (holding)
                 AND public.gate_forbidden(levels, t.provider, coalesce(t.model, r.match)) IS NULL
              UNION
              SELECT p.provider, p.model FROM public.model_prices AS p
               WHERE p.provider = ANY (holding) AND public.gate_forbidden(levels, p.provider, p.model) IS NULL
          ) AS names
         ORDER BY names.provider NULLS FIRST, names.model;
    IF NOT FOUND THEN
        -- Nothing may be called, and yet somebody asked.
        RETURN NEXT;
    END IF;
END $$;

REVOKE ALL ON FUNCTION public.gate_models(bytea, text, text, text[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.gate_models(bytea, text, text, text[], timestamptz) TO navplane_gate;

SET LOCAL ROLE navplane_owner;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
