-- Prices, the ledger and the rollups: what a call costs, what was charged for it, and the sums that are read.
-- Money is numeric USD to 1e-9; nano-USD integers only where the gate compares ceilings.

-- The list that admission reads, loaded from genai-prices (ingest/price_list.py) whenever its version changes. Reading rule: of
-- a provider's rows whose pattern matches the model's name (~), the one with the lowest position. The prices are ceilings.
CREATE TABLE public.model_prices (
    provider           text NOT NULL,
    position           integer NOT NULL,
    pattern            text NOT NULL,
    model              text NOT NULL,
    input_nano_usd     bigint NOT NULL CHECK (input_nano_usd >= 0),
    output_nano_usd    bigint NOT NULL CHECK (output_nano_usd >= 0),
    request_nano_usd   bigint NOT NULL CHECK (request_nano_usd >= 0),
    context_tokens     bigint,
    max_output_tokens  bigint,
    source_version     text NOT NULL,
    loaded_at          timestamptz NOT NULL,
    PRIMARY KEY (provider, position)
);

-- What an organization has agreed with a provider; it beats every list. Rates are USD per token, per web search and per
-- request; a rate that is missing is that of the token it is a part of. `model` is the name asked for or answered with.
CREATE TABLE public.price_overrides (
    org_id                    uuid NOT NULL REFERENCES public.organizations (id),
    id                        uuid NOT NULL,
    provider                  text NOT NULL,
    model                     text NOT NULL CHECK (length(model) BETWEEN 1 AND 200),
    effective_from            timestamptz NOT NULL,
    effective_to              timestamptz CHECK (effective_to > effective_from),
    input_usd                 numeric(20, 15) NOT NULL CHECK (input_usd >= 0),
    output_usd                numeric(20, 15) NOT NULL CHECK (output_usd >= 0),
    cached_input_usd          numeric(20, 15) CHECK (cached_input_usd >= 0),
    cache_write_5m_usd        numeric(20, 15) CHECK (cache_write_5m_usd >= 0),
    cache_write_1h_usd        numeric(20, 15) CHECK (cache_write_1h_usd >= 0),
    audio_input_usd           numeric(20, 15) CHECK (audio_input_usd >= 0),
    audio_output_usd          numeric(20, 15) CHECK (audio_output_usd >= 0),
    web_search_usd            numeric(20, 15) NOT NULL DEFAULT 0 CHECK (web_search_usd >= 0),
    request_usd               numeric(20, 15) NOT NULL DEFAULT 0 CHECK (request_usd >= 0),
    created_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, provider, model, effective_from)
);

ALTER TABLE public.request_logs ADD COLUMN price_version text;

-- Money moves only by rows being added: of one request the amounts add up to what its row costs. Not partitioned: it outlives the
-- logs, and its key begins with the time, so that new entries are neighbours.
CREATE TABLE public.ledger_entries (
    request_id     uuid NOT NULL,
    revision       integer NOT NULL,
    org_id         uuid NOT NULL,
    workspace_id   uuid NOT NULL,
    key_id         uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('charge', 'adjustment')),
    amount_usd     numeric(20, 9) NOT NULL,
    price_source   text NOT NULL CHECK (price_source IN ('override', 'provider', 'list', 'none')),
    price_version  text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (request_id, revision)
);
CREATE INDEX ledger_entries_by_org ON public.ledger_entries (org_id, request_id);

-- Sums by hour and by UTC day, kept by the writer in the transaction of the rows themselves. Token sums are numeric: no
-- provider's nonsense may overflow a sum that others share.
CREATE TABLE public.usage_hourly (
    org_id               uuid NOT NULL,
    workspace_id         uuid NOT NULL,
    key_id               uuid NOT NULL,
    user_id              uuid,
    provider             text,
    model                text,
    endpoint             text NOT NULL,
    demo                 boolean NOT NULL,
    starts_at            timestamptz NOT NULL,
    requests             bigint NOT NULL,
    failed_requests      bigint NOT NULL,
    unpriced_requests    bigint NOT NULL,
    inexact_requests     bigint NOT NULL,
    input_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    cache_write_tokens   numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    reasoning_tokens     numeric NOT NULL,
    cost_usd             numeric(30, 9) NOT NULL,
    UNIQUE NULLS NOT DISTINCT (org_id, starts_at, key_id, workspace_id, user_id, provider, model, endpoint, demo)
);
CREATE TABLE public.usage_daily (LIKE public.usage_hourly INCLUDING ALL);

ALTER TABLE public.price_overrides ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.ledger_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.usage_hourly ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.usage_daily ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON public.price_overrides TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.ledger_entries TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.usage_hourly TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.usage_daily TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY platform ON public.ledger_entries FOR SELECT TO navplane_platform_reader USING (true);
CREATE POLICY platform ON public.usage_hourly FOR SELECT TO navplane_platform_reader USING (true);
CREATE POLICY platform ON public.usage_daily FOR SELECT TO navplane_platform_reader USING (true);

-- The log plane: it reads agreed prices, adds entries and never changes one, and keeps the sums.
CREATE POLICY writer ON public.price_overrides FOR SELECT TO navplane_writer USING (true);
CREATE POLICY writer ON public.ledger_entries TO navplane_writer USING (true) WITH CHECK (true);
CREATE POLICY writer ON public.usage_hourly TO navplane_writer USING (true) WITH CHECK (true);
CREATE POLICY writer ON public.usage_daily TO navplane_writer USING (true) WITH CHECK (true);

GRANT SELECT ON public.model_prices TO navplane_admin, navplane_reader, navplane_gate_definer;
GRANT SELECT, INSERT, DELETE ON public.model_prices TO navplane_writer;
-- A price that was agreed is ended, not rewritten: what was charged by it must stay explicable.
GRANT SELECT, INSERT, UPDATE (effective_to) ON public.price_overrides TO navplane_admin;
GRANT SELECT ON public.price_overrides TO navplane_reader, navplane_writer;
GRANT SELECT, INSERT ON public.ledger_entries TO navplane_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.usage_hourly, public.usage_daily TO navplane_writer;
GRANT SELECT ON public.ledger_entries, public.usage_hourly, public.usage_daily
   TO navplane_admin, navplane_reader, navplane_platform_reader;
