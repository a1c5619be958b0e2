-- What was asked and answered, of workspaces whose data mode is `full` and of no other, for as long as the workspace says.
-- The log plane puts it in and can't read it; the control plane reads it, and writes down who did.

ALTER TABLE public.workspaces ADD COLUMN retention_days integer NOT NULL DEFAULT 30 CHECK (retention_days BETWEEN 1 AND 365);

CREATE TABLE public.request_contents (
    request_id          uuid PRIMARY KEY,
    created_at          timestamptz NOT NULL GENERATED ALWAYS AS (uuid_extract_timestamp(request_id)) STORED,
    org_id              uuid NOT NULL,
    workspace_id        uuid NOT NULL,
    request             bytea NOT NULL,
    response            bytea NOT NULL,
    request_truncated   boolean NOT NULL,
    response_truncated  boolean NOT NULL
);
CREATE INDEX request_contents_by_workspace ON public.request_contents (org_id, workspace_id, created_at);
REVOKE ALL ON public.request_contents FROM PUBLIC;
ALTER TABLE public.request_contents ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.request_contents FOR SELECT TO navplane_admin
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY writer ON public.request_contents FOR INSERT TO navplane_writer WITH CHECK (true);
CREATE POLICY retention ON public.request_contents FOR SELECT TO navplane_gate_definer USING (true);
CREATE POLICY retention_delete ON public.request_contents FOR DELETE TO navplane_gate_definer USING (true);
GRANT SELECT ON public.request_contents TO navplane_admin;
GRANT INSERT ON public.request_contents TO navplane_writer;
GRANT SELECT (request_id, org_id, workspace_id, created_at), DELETE ON public.request_contents TO navplane_gate_definer;

-- What the proxy asks: may content of this workspace be kept at all?
CREATE FUNCTION public.gate_keeps_content(of_org_id uuid, of_workspace_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM public.workspaces AS w
                    WHERE w.org_id = of_org_id AND w.id = of_workspace_id AND w.data_mode = 'full')
$$;

-- What the writer asks, which has the last word: of these requests, those whose workspace is `full` right now, and whose they are.
CREATE FUNCTION public.content_owners(of_request_ids uuid[], claimed_key_ids uuid[]) RETURNS TABLE (
    request_id uuid, org_id uuid, workspace_id uuid
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.request_id, o.org_id, o.workspace_id
      FROM public.usage_owners(of_request_ids, claimed_key_ids) AS o
      JOIN public.workspaces AS w ON w.org_id = o.org_id AND w.id = o.workspace_id
     WHERE w.data_mode = 'full'
$$;

-- Content goes when its workspace's days are over, and at once when the workspace is no longer `full` or its organization is gone.
CREATE FUNCTION public.forget_contents(at_time timestamptz, at_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH due AS (
        SELECT old.request_id
          FROM public.workspaces AS w JOIN public.organizations AS o ON o.id = w.org_id
         CROSS JOIN LATERAL (
               SELECT c.request_id FROM public.request_contents AS c
                WHERE c.org_id = w.org_id AND c.workspace_id = w.id
                  AND c.created_at < CASE WHEN w.data_mode = 'full' AND o.deleted_at IS NULL
                                     THEN at_time - make_interval(days => w.retention_days) ELSE 'infinity' END
                LIMIT at_most) AS old
         LIMIT at_most
    ), gone AS (
        DELETE FROM public.request_contents AS c USING due WHERE c.request_id = due.request_id RETURNING c.request_id
    )
    SELECT count(*) FROM gone
$$;

REVOKE ALL ON FUNCTION public.gate_keeps_content(uuid, uuid), public.content_owners(uuid[], uuid[]),
                       public.forget_contents(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.gate_keeps_content(uuid, uuid) TO navplane_gate;
GRANT EXECUTE ON FUNCTION public.content_owners(uuid[], uuid[]), public.forget_contents(timestamptz, integer) TO navplane_writer;

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.gate_keeps_content(uuid, uuid) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.content_owners(uuid[], uuid[]) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.forget_contents(timestamptz, integer) OWNER TO navplane_gate_definer;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
