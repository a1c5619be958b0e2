-- Whose the objects are that providers keep (a stored response): an id is bound to the organization whose call made it, for
-- good, and no other organization may name it. The gate's functions alone see the table.

CREATE TABLE public.provider_objects (
    provider         text NOT NULL,
    object_id        text NOT NULL CHECK (length(object_id) BETWEEN 1 AND 200),
    org_id           uuid NOT NULL REFERENCES public.organizations (id),
    provider_key_id  uuid NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (provider, object_id)
);
REVOKE ALL ON public.provider_objects FROM PUBLIC;
ALTER TABLE public.provider_objects ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY gate ON public.provider_objects FOR SELECT TO navplane_gate_definer USING (true);
CREATE POLICY gate_insert ON public.provider_objects FOR INSERT TO navplane_gate_definer WITH CHECK (true);
GRANT SELECT, INSERT ON public.provider_objects TO navplane_gate_definer;

CREATE FUNCTION public.gate_bind_object(
    bound_provider text, bound_object_id text, to_org_id uuid, by_provider_key_id uuid, at_time timestamptz
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.provider_objects (provider, object_id, org_id, provider_key_id, created_at)
    VALUES (bound_provider, bound_object_id, to_org_id, by_provider_key_id, at_time)
        ON CONFLICT (provider, object_id) DO NOTHING
$$;

CREATE FUNCTION public.gate_owner_of(of_provider text, of_object_id text) RETURNS TABLE (org_id uuid, provider_key_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.org_id, o.provider_key_id FROM public.provider_objects AS o
     WHERE o.provider = of_provider AND o.object_id = of_object_id
$$;

REVOKE ALL ON FUNCTION public.gate_bind_object(text, text, uuid, uuid, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.gate_owner_of(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    public.gate_bind_object(text, text, uuid, uuid, timestamptz),
    public.gate_owner_of(text, text)
 TO navplane_gate;

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.gate_bind_object(text, text, uuid, uuid, timestamptz) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_owner_of(text, text) OWNER TO navplane_gate_definer;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
