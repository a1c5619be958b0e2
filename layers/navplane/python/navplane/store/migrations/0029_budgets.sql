-- What is left of a budget. Its counter holds what is spent and what is reserved together; only the gate's own tables tell the one
-- from the other.

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
SET LOCAL ROLE navplane_gate_definer;

-- The budgets of one organization, or of all, in the windows of a moment. Reserved is what requests hold that are not final: the money
-- of one that has ended stays held until its price is known.
CREATE FUNCTION public.gate_budgets(of_org_id uuid, at_time timestamptz) RETURNS TABLE (
    org_id uuid, limit_id uuid, scope text, scope_id uuid, kind text, amount bigint, mode text, created_at timestamptz,
    window_name text, starts_at timestamptz, ends_at timestamptz, used bigint, reserved bigint
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    WITH held AS (
        SELECT counter, sum(r.nano_usd)::bigint AS nano_usd, sum(r.tokens)::bigint AS tokens
          FROM public.reservations AS r CROSS JOIN LATERAL unnest(r.counters) AS counter
         WHERE r.state <> 'final' AND (of_org_id IS NULL OR r.org_id = of_org_id)
         GROUP BY counter
    )
    SELECT l.org_id, l.id, l.scope, l.scope_id, l.kind, l.amount, l.mode, l.created_at, period.name,
           period.ends_at - CASE WHEN l.kind LIKE '%\_day' THEN interval '1 day' ELSE interval '1 month' END, period.ends_at,
           coalesce(c.used, 0), coalesce(CASE WHEN l.kind LIKE 'usd%' THEN h.nano_usd ELSE h.tokens END, 0)
      FROM public.limits AS l
     CROSS JOIN LATERAL public.gate_window(l.kind, at_time) AS period
      LEFT JOIN public.limit_counters AS c
        ON c.org_id = l.org_id AND c.scope_id = l.scope_id AND c.kind = l.kind AND c.window_name = period.name
      LEFT JOIN held AS h ON h.counter = c.id
     WHERE (of_org_id IS NULL OR l.org_id = of_org_id) AND (l.kind LIKE '%\_day' OR l.kind LIKE '%\_month')
$$;

-- For whoever looks at one organization: the one that row-level security knows, whatever is asked.
CREATE FUNCTION public.budgets_of_organization(at_time timestamptz) RETURNS TABLE (
    org_id uuid, limit_id uuid, scope text, scope_id uuid, kind text, amount bigint, mode text, created_at timestamptz,
    window_name text, starts_at timestamptz, ends_at timestamptz, used bigint, reserved bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM public.gate_budgets(
        coalesce(NULLIF(current_setting('app.org_id', true), ''), '00000000-0000-0000-0000-000000000000')::uuid, at_time)
$$;

-- For maintenance, which watches them all.
CREATE FUNCTION public.budgets_of_everybody(at_time timestamptz) RETURNS TABLE (
    org_id uuid, limit_id uuid, scope text, scope_id uuid, kind text, amount bigint, mode text, created_at timestamptz,
    window_name text, starts_at timestamptz, ends_at timestamptz, used bigint, reserved bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM public.gate_budgets(NULL, at_time)
$$;

REVOKE ALL ON FUNCTION public.gate_budgets(uuid, timestamptz), public.budgets_of_organization(timestamptz),
    public.budgets_of_everybody(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.budgets_of_organization(timestamptz) TO navplane_admin, navplane_reader;
GRANT EXECUTE ON FUNCTION public.budgets_of_everybody(timestamptz) TO navplane_writer;

SET LOCAL ROLE navplane_owner;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
