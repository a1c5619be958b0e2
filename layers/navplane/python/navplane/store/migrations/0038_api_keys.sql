-- API keys beyond the default one: which key a key replaces, and when each was last used.

ALTER TABLE public.api_keys ADD COLUMN replaces uuid;
GRANT SELECT (replaces) ON public.api_keys TO navplane_admin, navplane_reader;
CREATE INDEX api_keys_by_org ON public.api_keys (org_id, created_at DESC, id DESC);

-- A table of its own: the log plane keeps it, which may touch no key, and a change of a key's row waits for admissions.
CREATE TABLE public.api_key_uses (
    org_id        uuid NOT NULL,
    key_id        uuid NOT NULL,
    last_used_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, key_id)
);
REVOKE ALL ON public.api_key_uses FROM PUBLIC;
ALTER TABLE public.api_key_uses ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.api_key_uses TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY writer ON public.api_key_uses TO navplane_writer USING (true) WITH CHECK (true);
GRANT SELECT ON public.api_key_uses TO navplane_admin, navplane_reader;
GRANT SELECT, INSERT, UPDATE ON public.api_key_uses TO navplane_writer;
