-- A response in the background is made now, and its usage is known later: beside whose it is, its object keeps the usage event
-- of the call that made it (model/usage_event.py; no content), which a later answer completes.

ALTER TABLE public.provider_objects ADD COLUMN pending_event text CHECK (length(pending_event) <= 16384);

CREATE FUNCTION public.gate_bind_object(
    bound_provider text, bound_object_id text, to_org_id uuid, by_provider_key_id uuid, at_time timestamptz, of_event text
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.provider_objects (provider, object_id, org_id, provider_key_id, created_at, pending_event)
    VALUES (bound_provider, bound_object_id, to_org_id, by_provider_key_id, at_time, of_event)
        ON CONFLICT (provider, object_id) DO NOTHING
$$;

CREATE FUNCTION public.gate_object(of_provider text, of_object_id text) RETURNS TABLE (
    org_id uuid, provider_key_id uuid, pending_event text
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.org_id, o.provider_key_id, o.pending_event FROM public.provider_objects AS o
     WHERE o.provider = of_provider AND o.object_id = of_object_id
$$;

REVOKE ALL ON FUNCTION public.gate_bind_object(text, text, uuid, uuid, timestamptz, text), public.gate_object(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    public.gate_bind_object(text, text, uuid, uuid, timestamptz, text), public.gate_object(text, text)
 TO navplane_gate;

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.gate_bind_object(text, text, uuid, uuid, timestamptz, text) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_object(text, text) OWNER TO navplane_gate_definer;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
