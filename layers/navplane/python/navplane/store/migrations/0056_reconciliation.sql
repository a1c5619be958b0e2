-- What providers say of their own that an organization used, held against the ledger day by day.

-- One read-only admin key for each provider. `requested_at` asks for a run before the next one is due.
CREATE TABLE public.reconciliation_keys (
    id            uuid PRIMARY KEY,
    org_id        uuid NOT NULL REFERENCES public.organizations (id),
    provider      text NOT NULL CHECK (provider IN ('openai', 'anthropic')),
    key_hint      text NOT NULL,
    region        text NOT NULL,
    sealed        bytea NOT NULL,
    kek_id        text NOT NULL,
    created_at    timestamptz NOT NULL,
    requested_at  timestamptz,
    leased_until  timestamptz,
    ran_at        timestamptz,
    succeeded_at  timestamptz,
    last_error    text,
    UNIQUE (org_id, provider)
);
CREATE TRIGGER kek_fence BEFORE INSERT OR UPDATE OF sealed, kek_id ON public.reconciliation_keys
    FOR EACH ROW WHEN (length(NEW.sealed) > 0) EXECUTE FUNCTION public.kek_fence();

-- `provider_requests` is null where the provider doesn't count them, `drift` is percent.
CREATE TABLE public.reconciliations (
    org_id             uuid NOT NULL REFERENCES public.organizations (id),
    id                 uuid NOT NULL,
    provider           text NOT NULL,
    day                date NOT NULL,
    model              text NOT NULL,
    ledger_requests    bigint NOT NULL,
    ledger_input       bigint NOT NULL,
    ledger_output      bigint NOT NULL,
    ledger_usd         numeric(20, 9) NOT NULL,
    provider_requests  bigint,
    provider_input     bigint NOT NULL,
    provider_output    bigint NOT NULL,
    provider_usd       numeric(20, 9) NOT NULL,
    drift              numeric(9, 2) NOT NULL,
    seen_at            timestamptz NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, provider, day, model)
);
CREATE INDEX reconciliations_newest ON public.reconciliations (org_id, day, id);
CREATE INDEX reconciliations_seen ON public.reconciliations (seen_at);

ALTER TABLE public.reconciliation_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.reconciliations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.reconciliation_keys, public.reconciliations FROM PUBLIC;
CREATE POLICY tenant ON public.reconciliation_keys TO navplane_admin
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.reconciliations TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
-- Who stores a key can't read it back.
GRANT SELECT (id, org_id, provider, key_hint, region, created_at, requested_at, ran_at, succeeded_at, last_error),
      INSERT, DELETE, UPDATE (requested_at) ON public.reconciliation_keys TO navplane_admin;
GRANT SELECT ON public.reconciliations TO navplane_admin, navplane_reader;

-- provider_probe runs them: it opens the key, reads what the ledger sums up, and writes down how the two compare.
CREATE POLICY probe ON public.reconciliation_keys TO navplane_probe USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (requested_at, leased_until, ran_at, succeeded_at, last_error) ON public.reconciliation_keys TO navplane_probe;
CREATE POLICY probe ON public.reconciliations TO navplane_probe
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON public.reconciliations TO navplane_probe;
CREATE POLICY probe ON public.org_usage_daily FOR SELECT TO navplane_probe
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
GRANT SELECT (org_id, provider, model, endpoint, demo, starts_at, requests, input_tokens, output_tokens, cost_usd)
    ON public.org_usage_daily TO navplane_probe;

-- Maintenance tells of drift.
CREATE POLICY writer ON public.reconciliations FOR SELECT TO navplane_writer USING (true);
GRANT SELECT (org_id, provider, day, model, drift, seen_at) ON public.reconciliations TO navplane_writer;
ALTER TABLE public.alert_rules DROP CONSTRAINT alert_rules_kind_check;
ALTER TABLE public.alert_rules ADD CONSTRAINT alert_rules_kind_check
    CHECK (kind IN ('budget', 'spike', 'unpriced', 'reconciliation'));

-- A rotation of the KEK, and the destruction of what an organization has sealed.
CREATE POLICY rewrap ON public.reconciliation_keys FOR SELECT TO navplane_rewrap USING (true);
CREATE POLICY rewrap_update ON public.reconciliation_keys FOR UPDATE TO navplane_rewrap USING (true) WITH CHECK (true);
GRANT SELECT (org_id, id, provider, region, sealed, kek_id), UPDATE (sealed, kek_id) ON public.reconciliation_keys TO navplane_rewrap;
CREATE POLICY keeper ON public.reconciliation_keys FOR SELECT TO navplane_keeper USING (true);
CREATE POLICY keeper_delete ON public.reconciliation_keys FOR DELETE TO navplane_keeper USING (true);
GRANT SELECT (org_id, id, kek_id, sealed), DELETE ON public.reconciliation_keys TO navplane_keeper;
