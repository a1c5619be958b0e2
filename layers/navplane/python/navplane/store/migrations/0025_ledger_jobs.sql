-- Long work on an organization's rows, in small steps that may be cut short anywhere: weighing them again by today's prices, and making
-- their sums anew. And when the sums of each day were last held against the rows.

CREATE TABLE public.ledger_jobs (
    org_id           uuid NOT NULL REFERENCES public.organizations (id),
    id               uuid NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('reprice', 'rebuild_rollups')),
    starts_at        timestamptz NOT NULL,
    ends_at          timestamptz NOT NULL CHECK (ends_at > starts_at),
    state            text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    -- The last request id that is done with; the next step begins behind it.
    cursor           uuid,
    rows_seen        bigint NOT NULL DEFAULT 0,
    rows_changed     bigint NOT NULL DEFAULT 0,
    cost_change_usd  numeric(30, 9) NOT NULL DEFAULT 0,
    failure          text,
    requested_by     text NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    finished_at      timestamptz,
    PRIMARY KEY (org_id, id)
);
-- What waits and what runs, and never two of a kind for one organization.
CREATE UNIQUE INDEX ledger_jobs_open ON public.ledger_jobs (org_id, kind) WHERE state IN ('waiting', 'running');
CREATE TRIGGER touch BEFORE UPDATE ON public.ledger_jobs FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();

ALTER TABLE public.ledger_jobs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.ledger_jobs TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY writer ON public.ledger_jobs TO navplane_writer USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON public.ledger_jobs TO navplane_admin;
GRANT SELECT ON public.ledger_jobs TO navplane_reader;
GRANT SELECT, UPDATE (state, cursor, rows_seen, rows_changed, cost_change_usd, failure, finished_at) ON public.ledger_jobs TO navplane_writer;


-- It says of a UTC day how many sums and entries did not agree with its rows. It belongs to no organization.
CREATE TABLE public.rollup_checks (
    day         date PRIMARY KEY,
    checked_at  timestamptz NOT NULL,
    differing   bigint NOT NULL
);
REVOKE ALL ON public.rollup_checks FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.rollup_checks TO navplane_writer;
