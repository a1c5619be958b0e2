-- Where organizations and the platform want to be told, and what is on its way there. Where org_id is null it is the platform's.

-- `sealed` is a webhook's secret; the other kinds have none. `alerts` are the kinds that are sent there.
CREATE TABLE public.alert_destinations (
    id          uuid PRIMARY KEY,
    org_id      uuid REFERENCES public.organizations (id),
    name        text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('webhook', 'email', 'sns')),
    address     text NOT NULL,
    alerts      text[] NOT NULL,
    enabled     boolean NOT NULL,
    region      text NOT NULL,
    sealed      bytea NOT NULL,
    kek_id      text NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    deleted_at  timestamptz,
    CHECK ((kind = 'webhook' AND deleted_at IS NULL) = (length(sealed) > 0))
);
CREATE UNIQUE INDEX alert_destinations_name ON public.alert_destinations (org_id, name) NULLS NOT DISTINCT WHERE deleted_at IS NULL;
CREATE INDEX alert_destinations_newest ON public.alert_destinations (org_id, created_at, id);
CREATE TRIGGER touch BEFORE UPDATE ON public.alert_destinations FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER kek_fence BEFORE INSERT OR UPDATE OF sealed, kek_id ON public.alert_destinations
    FOR EACH ROW WHEN (length(NEW.sealed) > 0) EXECUTE FUNCTION public.kek_fence();

-- `id` is what the receiver knows a delivery by, however often it is tried. `body` is what is sent, byte for byte, every time.
CREATE TABLE public.alert_deliveries (
    id               uuid PRIMARY KEY,
    org_id           uuid REFERENCES public.organizations (id),
    destination_id   uuid NOT NULL REFERENCES public.alert_destinations (id) ON DELETE CASCADE,
    notification_id  uuid,
    title            text NOT NULL,
    body             text NOT NULL,
    state            text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts         integer NOT NULL DEFAULT 0,
    next_at          timestamptz NOT NULL,
    leased_until     timestamptz,
    last_error       text,
    created_at       timestamptz NOT NULL,
    finished_at      timestamptz,
    UNIQUE (destination_id, notification_id),
    CHECK ((state = 'pending') = (finished_at IS NULL))
);
CREATE INDEX alert_deliveries_pending ON public.alert_deliveries (next_at) WHERE state = 'pending';
CREATE INDEX alert_deliveries_leased ON public.alert_deliveries (destination_id) WHERE state = 'pending';
CREATE INDEX alert_deliveries_newest ON public.alert_deliveries (destination_id, created_at, id);
CREATE INDEX alert_deliveries_finished ON public.alert_deliveries (finished_at) WHERE state <> 'pending';

-- What the platform was told. It belongs to no organization.
CREATE TABLE public.platform_notifications (
    id           uuid PRIMARY KEY,
    kind         text NOT NULL,
    subject      text NOT NULL,
    window_name  text NOT NULL,
    threshold    integer NOT NULL,
    title        text NOT NULL,
    facts        jsonb NOT NULL,
    created_at   timestamptz NOT NULL,
    CONSTRAINT platform_notifications_once UNIQUE (kind, subject, window_name, threshold)
);
CREATE INDEX platform_notifications_newest ON public.platform_notifications (created_at, id);

ALTER TABLE public.alert_destinations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.alert_deliveries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.alert_destinations, public.alert_deliveries, public.platform_notifications FROM PUBLIC;

CREATE POLICY tenant ON public.alert_destinations TO navplane_admin
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.alert_deliveries TO navplane_admin
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
-- The platform's own, in a transaction of no organization.
CREATE POLICY platform ON public.alert_destinations TO navplane_admin
    USING (org_id IS NULL AND NULLIF(current_setting('app.org_id', true), '') IS NULL);
CREATE POLICY platform ON public.alert_deliveries TO navplane_admin
    USING (org_id IS NULL AND NULLIF(current_setting('app.org_id', true), '') IS NULL);
-- Who stores a secret can't read it back.
GRANT SELECT (id, org_id, name, kind, address, alerts, enabled, region, created_at, updated_at, deleted_at),
      INSERT, UPDATE (name, alerts, enabled, sealed, deleted_at) ON public.alert_destinations TO navplane_admin;
GRANT SELECT, INSERT ON public.alert_deliveries TO navplane_admin;
GRANT SELECT ON public.platform_notifications TO navplane_admin, navplane_reader;

-- Maintenance finds out who wants to be told, and leaves it for the sender in the same transaction.
CREATE POLICY writer ON public.alert_destinations FOR SELECT TO navplane_writer USING (true);
CREATE POLICY writer ON public.alert_deliveries FOR INSERT TO navplane_writer WITH CHECK (true);
GRANT SELECT (id, org_id, alerts, enabled, deleted_at) ON public.alert_destinations TO navplane_writer;
GRANT INSERT ON public.alert_deliveries TO navplane_writer;
GRANT SELECT, INSERT ON public.platform_notifications TO navplane_writer;

-- The sender, and nothing but what it sends and to where.
CREATE POLICY notifier ON public.alert_destinations FOR SELECT TO navplane_notifier USING (true);
CREATE POLICY notifier ON public.alert_deliveries TO navplane_notifier USING (true) WITH CHECK (true);
GRANT SELECT (id, org_id, kind, address, enabled, region, sealed, deleted_at) ON public.alert_destinations TO navplane_notifier;
GRANT SELECT, DELETE, UPDATE (state, attempts, next_at, leased_until, last_error, finished_at)
    ON public.alert_deliveries TO navplane_notifier;

-- A rotation of the KEK, and the destruction of what an organization has sealed.
CREATE POLICY rewrap ON public.alert_destinations FOR SELECT TO navplane_rewrap USING (true);
CREATE POLICY rewrap_update ON public.alert_destinations FOR UPDATE TO navplane_rewrap USING (true) WITH CHECK (true);
GRANT SELECT (org_id, id, region, sealed, kek_id), UPDATE (sealed, kek_id) ON public.alert_destinations TO navplane_rewrap;
CREATE POLICY keeper ON public.alert_destinations FOR SELECT TO navplane_keeper USING (true);
CREATE POLICY keeper_delete ON public.alert_destinations FOR DELETE TO navplane_keeper USING (true);
GRANT SELECT (org_id, id, kek_id, sealed), DELETE ON public.alert_destinations TO navplane_keeper;
