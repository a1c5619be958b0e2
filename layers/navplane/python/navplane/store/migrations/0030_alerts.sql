-- What an organization wants to be told of, and what it was told: each crossing once, however often and by however many it is seen.

-- A kind without a row is watched in the usual way (model/alert.py); a row says otherwise.
CREATE TABLE public.alert_rules (
    org_id       uuid NOT NULL REFERENCES public.organizations (id),
    id           uuid NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('budget', 'spike', 'unpriced')),
    enabled      boolean NOT NULL,
    thresholds   integer[] NOT NULL,
    sensitivity  numeric(6, 2) NOT NULL CHECK (sensitivity > 0),
    floor_usd    numeric(20, 9) NOT NULL CHECK (floor_usd >= 0),
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, kind)
);
CREATE TRIGGER touch BEFORE UPDATE ON public.alert_rules FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();

CREATE TABLE public.notifications (
    org_id       uuid NOT NULL REFERENCES public.organizations (id),
    id           uuid NOT NULL,
    kind         text NOT NULL,
    subject      text NOT NULL,
    window_name  text NOT NULL,
    threshold    integer NOT NULL,
    title        text NOT NULL,
    facts        jsonb NOT NULL,
    created_at   timestamptz NOT NULL,
    read_at      timestamptz,
    read_by      text,
    PRIMARY KEY (org_id, id),
    CONSTRAINT notifications_once UNIQUE (org_id, kind, subject, window_name, threshold)
);
CREATE INDEX notifications_newest ON public.notifications (org_id, created_at, id);

ALTER TABLE public.alert_rules ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.notifications ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.alert_rules, public.notifications FROM PUBLIC;
CREATE POLICY tenant ON public.alert_rules TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.notifications TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.alert_rules TO navplane_admin;
-- Who is told may say that it was read, and change nothing else.
GRANT SELECT, UPDATE (read_at, read_by) ON public.notifications TO navplane_admin;
GRANT SELECT ON public.alert_rules, public.notifications TO navplane_reader;

-- Maintenance watches every organization and tells each.
CREATE POLICY writer ON public.alert_rules FOR SELECT TO navplane_writer USING (true);
CREATE POLICY writer ON public.notifications TO navplane_writer USING (true) WITH CHECK (true);
GRANT SELECT ON public.alert_rules TO navplane_writer;
GRANT SELECT, INSERT ON public.notifications TO navplane_writer;
