-- Organizations that chose to be served by admissions that are remembered while the gate can't answer. Only without any limit:
-- what is remembered counts nothing.

ALTER TABLE public.organizations ADD COLUMN cached_admission boolean NOT NULL DEFAULT false;

CREATE FUNCTION public.gate_outlasts(of_org_id uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chosen  boolean := (SELECT o.cached_admission FROM public.organizations AS o WHERE o.id = of_org_id);
BEGIN
    IF chosen IS NOT TRUE THEN
        RETURN false;
    END IF;
    RETURN NOT EXISTS (SELECT FROM public.limits AS l WHERE l.org_id = of_org_id)
       AND NOT EXISTS (SELECT FROM public.platform_limits);
END $$;

REVOKE ALL ON FUNCTION public.gate_outlasts(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.gate_outlasts(uuid) TO navplane_gate, navplane_writer;

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.gate_outlasts(uuid) OWNER TO navplane_gate_definer;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
