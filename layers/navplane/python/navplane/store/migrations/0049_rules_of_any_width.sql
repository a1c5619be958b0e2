-- The rules of an admission, read so that limits may get another column while admissions run: 0050_workflows.sql adds it, and puts
-- the quicker form back.

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
SET LOCAL ROLE navplane_gate_definer;

CREATE OR REPLACE FUNCTION public.gate_rules(
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
               SELECT jsonb_populate_record(NULL::public.limits, to_jsonb(p) || jsonb_build_object(
                       'scope', 'platform', 'scope_id', '00000000-0000-0000-0000-000000000000'))
                 FROM public.platform_limits AS p)
      INTO levels, routes, limits;
END $$;

SET LOCAL ROLE navplane_owner;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
