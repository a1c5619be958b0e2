-- Who may do what: grants by least privilege, and row-level security, forced, on every table that belongs to tenants.
-- The roles are made by store/bootstrap.py. Nothing here is granted to PUBLIC, and nobody bypasses row-level security.

ALTER DEFAULT PRIVILEGES FOR ROLE navplane_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE navplane_owner REVOKE ALL ON TABLES FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;

ALTER TABLE public.organizations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.workspaces ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.api_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.provider_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.org_provider_settings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.org_members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.reservations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.request_logs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.audit_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- A tenant sees and writes its own rows. Without app.org_id, or with an empty one, the comparison is with NULL: no row.
-- A malformed one is an error.
CREATE POLICY tenant ON public.organizations TO navplane_admin, navplane_reader
    USING (id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.workspaces TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.api_keys TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.provider_keys TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.org_provider_settings TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.org_members TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.request_logs TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.audit_events TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.outbox TO navplane_admin
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);

-- Nobody may read a digest or a sealed provider key back; the gate's definer alone does, inside its functions.
GRANT SELECT, INSERT, UPDATE ON public.organizations, public.workspaces, public.org_provider_settings TO navplane_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.org_members TO navplane_admin;
GRANT SELECT (org_id, id, workspace_id, name, is_default, key_prefix, key_hint, expires_at, revoked_at, created_at, updated_at),
      INSERT, UPDATE ON public.api_keys TO navplane_admin;
GRANT SELECT (org_id, id, provider, label, key_hint, base_url, region, demo, kek_id, deleted_at, created_at, updated_at),
      INSERT, UPDATE ON public.provider_keys TO navplane_admin;
GRANT SELECT, INSERT, UPDATE ON public.user_identities TO navplane_admin;
GRANT SELECT, INSERT ON public.audit_events TO navplane_admin;
GRANT INSERT ON public.outbox TO navplane_admin;
GRANT SELECT ON public.request_logs TO navplane_admin;

GRANT SELECT ON public.organizations, public.workspaces, public.org_provider_settings, public.org_members,
                public.request_logs, public.audit_events TO navplane_reader;
GRANT SELECT (org_id, id, workspace_id, name, is_default, key_prefix, key_hint, expires_at, revoked_at, created_at, updated_at)
   ON public.api_keys TO navplane_reader;
GRANT SELECT (org_id, id, provider, label, key_hint, base_url, region, demo, kek_id, deleted_at, created_at, updated_at)
   ON public.provider_keys TO navplane_reader;
GRANT SELECT ON public.user_identities TO navplane_reader;

-- Put on with SET LOCAL ROLE by admin and reader, for what a platform admin reads across organizations; never inherited.
CREATE POLICY platform ON public.organizations FOR SELECT TO navplane_platform_reader USING (true);
CREATE POLICY platform ON public.workspaces FOR SELECT TO navplane_platform_reader USING (true);
CREATE POLICY platform ON public.org_members FOR SELECT TO navplane_platform_reader USING (true);
CREATE POLICY platform ON public.request_logs FOR SELECT TO navplane_platform_reader USING (true);
CREATE POLICY platform ON public.audit_events FOR SELECT TO navplane_platform_reader USING (true);
GRANT SELECT ON public.organizations, public.workspaces, public.org_members, public.request_logs, public.audit_events,
                public.user_identities TO navplane_platform_reader;

-- The log plane writes rows of every organization and touches nothing else.
CREATE POLICY writer ON public.request_logs TO navplane_writer USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON public.request_logs TO navplane_writer;
-- Retention: what is final may go; what is open can't even be seen.
CREATE POLICY retention ON public.reservations FOR SELECT TO navplane_writer USING (state = 'final');
CREATE POLICY retention_delete ON public.reservations FOR DELETE TO navplane_writer USING (state = 'final');
GRANT SELECT (request_id, state, created_at, updated_at), DELETE ON public.reservations TO navplane_writer;

-- request_logs has a partition per month. A month's bounds are the first UUIDv7 of that month and of the next one.
CREATE FUNCTION public.first_uuidv7_of(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Makes what is missing from the month of `from_time` on, for `months` months; answers the names. Attached rather than made in
-- place: that waits for no reader and no writer of request_logs.
CREATE FUNCTION public.ensure_request_log_partitions(from_time timestamptz, months integer) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    month  timestamptz := date_trunc('month', from_time);
    name   text;
BEGIN
    IF months NOT BETWEEN 1 AND 120 THEN
        RAISE EXCEPTION 'months must be between 1 and 120' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('public.ensure_request_log_partitions', 0));
    FOR i IN 1..months LOOP
        name := 'request_logs_' || to_char(month, 'YYYY_MM');
        IF to_regclass('public.' || name) IS NULL THEN
            EXECUTE format('CREATE TABLE public.%I (LIKE public.request_logs INCLUDING ALL)', name);
            EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
            EXECUTE format('ALTER TABLE public.request_logs ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', name,
                           public.first_uuidv7_of(month), public.first_uuidv7_of(month + interval '1 month'));
            RETURN NEXT name;
        END IF;
        month := month + interval '1 month';
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION public.first_uuidv7_of(timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.ensure_request_log_partitions(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.ensure_request_log_partitions(timestamptz, integer) TO navplane_writer;
