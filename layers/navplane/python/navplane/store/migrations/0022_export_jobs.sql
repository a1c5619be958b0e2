-- Files that are too large to be an answer: made in steps by maintenance, kept for some days, fetched in parts.

CREATE TABLE public.export_jobs (
    org_id        uuid NOT NULL REFERENCES public.organizations (id),
    id            uuid NOT NULL,
    subject       text NOT NULL CHECK (subject IN ('requests', 'usage', 'focus')),
    format        text NOT NULL CHECK (format IN ('csv', 'json', 'parquet')),
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL CHECK (ends_at > starts_at),
    wanted        jsonb NOT NULL,
    by            text[] NOT NULL,
    state         text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    -- Where the next step begins.
    cursor        text,
    rows          bigint NOT NULL DEFAULT 0,
    bytes         bigint NOT NULL DEFAULT 0,
    parts         integer NOT NULL DEFAULT 0,
    failure       text,
    requested_by  text NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    expires_at    timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE INDEX export_jobs_open ON public.export_jobs (updated_at) WHERE state IN ('waiting', 'running');
CREATE TRIGGER touch BEFORE UPDATE ON public.export_jobs FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();

-- One after the other they are the file. `described` is what its end says of a part.
CREATE TABLE public.export_parts (
    org_id     uuid NOT NULL,
    job_id     uuid NOT NULL,
    number     integer NOT NULL,
    rows       bigint NOT NULL,
    content    bytea NOT NULL,
    described  bytea NOT NULL,
    PRIMARY KEY (org_id, job_id, number),
    FOREIGN KEY (org_id, job_id) REFERENCES public.export_jobs (org_id, id) ON DELETE CASCADE
);

ALTER TABLE public.export_jobs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.export_parts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.export_jobs, public.export_parts FROM PUBLIC;
CREATE POLICY tenant ON public.export_jobs TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.export_parts TO navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY writer ON public.export_jobs TO navplane_writer USING (true) WITH CHECK (true);
CREATE POLICY writer ON public.export_parts TO navplane_writer USING (true) WITH CHECK (true);
-- Whoever asks for a file may take it back; what is in it is for the role that reads.
GRANT SELECT, INSERT, DELETE ON public.export_jobs TO navplane_admin;
GRANT SELECT ON public.export_jobs, public.export_parts TO navplane_reader;
GRANT SELECT, UPDATE (state, cursor, rows, bytes, parts, failure, finished_at), DELETE ON public.export_jobs TO navplane_writer;
GRANT SELECT, INSERT ON public.export_parts TO navplane_writer;

-- What the ids in a file are called, of the transaction's organization and of no other: who makes a file may read no key.
GRANT SELECT (id, issuer, subject, email, name) ON public.user_identities TO navplane_gate_definer;
CREATE POLICY export_names ON public.org_members FOR SELECT TO navplane_gate_definer USING (true);
GRANT SELECT (org_id, user_id) ON public.org_members TO navplane_gate_definer;
CREATE FUNCTION public.export_names(ids uuid[]) RETURNS TABLE (id uuid, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH asked AS (SELECT NULLIF(current_setting('app.org_id', true), '')::uuid AS org_id)
    SELECT o.id, o.name FROM public.organizations AS o, asked WHERE o.id = asked.org_id AND o.id = ANY (ids)
    UNION ALL
    SELECT w.id, w.name FROM public.workspaces AS w, asked WHERE w.org_id = asked.org_id AND w.id = ANY (ids)
    UNION ALL
    SELECT k.id, k.name FROM public.api_keys AS k, asked WHERE k.org_id = asked.org_id AND k.id = ANY (ids)
    UNION ALL
    SELECT u.id, coalesce(u.email, u.name, u.subject) FROM public.user_identities AS u, asked
     WHERE u.id = ANY (ids)
       AND (EXISTS (SELECT FROM public.org_members AS m WHERE m.org_id = asked.org_id AND m.user_id = u.id)
            OR EXISTS (SELECT FROM public.api_keys AS k WHERE k.org_id = asked.org_id AND k.owner_user_id = u.id))
$$;

REVOKE ALL ON FUNCTION public.export_names(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.export_names(uuid[]) TO navplane_reader, navplane_writer;
GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.export_names(uuid[]) OWNER TO navplane_gate_definer;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
