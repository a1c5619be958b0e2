-- Rotations of the KEK: which KEK is being replaced by which, how far it is, and that nothing is sealed under one that goes.

-- A row per KEK that is being retired, or was. While it is there, nothing new is sealed under it.
CREATE TABLE public.kek_rotations (
    old_kek_id   text PRIMARY KEY,
    new_kek_id   text NOT NULL,
    rewrapped    bigint NOT NULL DEFAULT 0,
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    CHECK (old_kek_id <> new_kek_id)
);
REVOKE ALL ON public.kek_rotations FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.kek_rotations TO navplane_rewrap;
GRANT SELECT ON public.kek_rotations TO navplane_keeper;

-- Whoever seals shares a lock that the start of a rotation takes alone: what was sealed before it is committed and will be found,
-- and what comes after it meets the row.
CREATE FUNCTION public.kek_fence() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('navplane.kek', 0));
    IF EXISTS (SELECT FROM public.kek_rotations AS r WHERE r.old_kek_id = NEW.kek_id) THEN
        RAISE EXCEPTION 'sealed under a KEK that is being retired' USING ERRCODE = 'NP002';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION public.kek_fence() FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO navplane_keeper;
ALTER FUNCTION public.kek_fence() OWNER TO navplane_keeper;
-- To be put on the tables of later migrations too.
SET LOCAL ROLE navplane_keeper;
GRANT EXECUTE ON FUNCTION public.kek_fence() TO navplane_owner;
SET LOCAL ROLE navplane_owner;
REVOKE CREATE ON SCHEMA public FROM navplane_keeper;

CREATE TRIGGER kek_fence BEFORE INSERT OR UPDATE OF sealed, kek_id ON public.provider_keys
    FOR EACH ROW WHEN (length(NEW.sealed) > 0) EXECUTE FUNCTION public.kek_fence();
CREATE TRIGGER kek_fence BEFORE INSERT OR UPDATE OF sealed, kek_id ON public.audit_keys
    FOR EACH ROW WHEN (length(NEW.sealed) > 0) EXECUTE FUNCTION public.kek_fence();

-- The rotation reads what is sealed and where it belongs, and changes what is sealed. It sees no name, label or address.
CREATE POLICY rewrap ON public.provider_keys FOR SELECT TO navplane_rewrap USING (true);
CREATE POLICY rewrap_update ON public.provider_keys FOR UPDATE TO navplane_rewrap USING (true) WITH CHECK (true);
GRANT SELECT (org_id, id, provider, region, sealed, kek_id), UPDATE (sealed, kek_id) ON public.provider_keys TO navplane_rewrap;
GRANT SELECT (id, region, sealed, kek_id), UPDATE (sealed, kek_id) ON public.audit_keys TO navplane_rewrap;
-- A gate that is not this database has the sealed values too, and is told.
CREATE POLICY rewrap_insert ON public.outbox FOR INSERT TO navplane_rewrap WITH CHECK (true);
GRANT INSERT ON public.outbox TO navplane_rewrap;
