-- The tables of the first NavPlane: tenants, keys, what was admitted, what was used, who changed what.
-- Ids and times of facts come from the caller; money is numeric, nano-USD integers in reservations.

CREATE FUNCTION public.touch_updated_at() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE TABLE public.organizations (
    id            uuid PRIMARY KEY,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    enabled       boolean NOT NULL DEFAULT true,
    home_region   text NOT NULL DEFAULT 'us' CHECK (home_region IN ('us', 'eu')),
    stream_usage  text NOT NULL DEFAULT 'inject' CHECK (stream_usage IN ('inject', 'observe')),
    row_version   bigint NOT NULL DEFAULT 1,
    deleted_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.workspaces (
    org_id      uuid NOT NULL REFERENCES public.organizations (id),
    id          uuid NOT NULL,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    is_default  boolean NOT NULL DEFAULT false,
    region      text NOT NULL CHECK (region IN ('us', 'eu')),
    data_mode   text NOT NULL DEFAULT 'metadata_only' CHECK (data_mode IN ('metadata_only', 'full')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE (id)
);
CREATE UNIQUE INDEX workspaces_one_default ON public.workspaces (org_id) WHERE is_default;

-- A key is presented by applications. Only its SHA-256 is stored; prefix and last four are what a list shows.
CREATE TABLE public.api_keys (
    org_id        uuid NOT NULL,
    id            uuid NOT NULL,
    workspace_id  uuid NOT NULL,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    is_default    boolean NOT NULL DEFAULT false,
    digest        bytea NOT NULL CHECK (length(digest) = 32),
    key_prefix    text NOT NULL,
    key_hint      text NOT NULL,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE (id),
    UNIQUE (digest),
    FOREIGN KEY (org_id, workspace_id) REFERENCES public.workspaces (org_id, id)
);
CREATE UNIQUE INDEX api_keys_one_default ON public.api_keys (org_id) WHERE is_default AND revoked_at IS NULL;

-- A provider key is held by us, sealed (crypto/envelope), and never leaves but to its provider.
CREATE TABLE public.provider_keys (
    org_id      uuid NOT NULL REFERENCES public.organizations (id),
    id          uuid NOT NULL,
    provider    text NOT NULL,
    label       text NOT NULL CHECK (length(label) BETWEEN 1 AND 200),
    key_hint    text NOT NULL,
    base_url    text,
    region      text NOT NULL CHECK (region IN ('us', 'eu')),
    demo        boolean NOT NULL DEFAULT false,
    sealed      bytea NOT NULL,
    kek_id      text NOT NULL,
    deleted_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE (id)
);
CREATE UNIQUE INDEX provider_keys_label ON public.provider_keys (org_id, provider, label) WHERE deleted_at IS NULL;

CREATE TABLE public.org_provider_settings (
    org_id              uuid PRIMARY KEY REFERENCES public.organizations (id),
    disabled_providers  text[] NOT NULL DEFAULT '{}',
    allow_models        text[] NOT NULL DEFAULT '{}',
    block_models        text[] NOT NULL DEFAULT '{}',
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.user_identities (
    id                 uuid PRIMARY KEY,
    issuer             text NOT NULL,
    subject            text NOT NULL,
    email              text,
    name               text,
    is_platform_admin  boolean NOT NULL DEFAULT false,
    last_seen_at       timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (issuer, subject)
);

CREATE TABLE public.org_members (
    org_id      uuid NOT NULL REFERENCES public.organizations (id),
    user_id     uuid NOT NULL REFERENCES public.user_identities (id),
    role        text NOT NULL CHECK (role IN ('owner', 'member')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, user_id)
);

-- The durable witness of every admitted request (gate/gate.py shows its states). A row without a caller is final from the
-- start: its request was closed before it was admitted, and the row keeps a late admission out.
CREATE TABLE public.reservations (
    request_id       uuid PRIMARY KEY,
    org_id           uuid,
    workspace_id     uuid,
    key_id           uuid,
    provider         text,
    provider_key_id  uuid,
    model            text,
    endpoint         text,
    region           text,
    stream           boolean,
    demo             boolean,
    state            text NOT NULL CHECK (state IN ('reserved', 'settled', 'expired', 'final')),
    tokens           bigint NOT NULL DEFAULT 0,
    nano_usd         bigint NOT NULL DEFAULT 0,
    lease_until      timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nulls(org_id, workspace_id, key_id, provider, provider_key_id, endpoint, region, stream, demo, lease_until)
           = CASE WHEN state = 'final' AND org_id IS NULL THEN 10 ELSE 0 END)
);
CREATE INDEX reservations_open ON public.reservations (lease_until) WHERE state <> 'final';

-- One row per request. The key is a UUIDv7 and months map to ranges of it, so a redelivery, a replay and the reaper can
-- never disagree about where a row lives. There is no default partition: a replay into a dropped month is an error.
CREATE TABLE public.request_logs (
    request_id             uuid NOT NULL,
    created_at             timestamptz NOT NULL GENERATED ALWAYS AS (uuid_extract_timestamp(request_id)) STORED,
    org_id                 uuid NOT NULL,
    workspace_id           uuid NOT NULL,
    key_id                 uuid NOT NULL,
    provider               text,
    provider_key_id        uuid,
    model                  text,
    response_model         text,
    endpoint               text NOT NULL,
    region                 text NOT NULL,
    stream                 boolean NOT NULL,
    demo                   boolean NOT NULL,
    status                 integer NOT NULL,
    error_code             text,
    outcome                text NOT NULL CHECK (outcome IN ('ok', 'refused', 'failed', 'aborted', 'terminated', 'lost')),
    usage_quality          text NOT NULL CHECK (usage_quality IN ('exact', 'estimated', 'lost')),
    price_quality          text NOT NULL DEFAULT 'unpriced' CHECK (price_quality IN ('priced', 'provider_reported', 'unpriced')),
    cost_usd               numeric(20, 9),
    input_tokens           bigint NOT NULL,
    output_tokens          bigint NOT NULL,
    cached_input_tokens    bigint NOT NULL,
    cache_write_5m_tokens  bigint NOT NULL,
    cache_write_1h_tokens  bigint NOT NULL,
    reasoning_tokens       bigint NOT NULL,
    audio_input_tokens     bigint NOT NULL,
    audio_output_tokens    bigint NOT NULL,
    web_searches           bigint NOT NULL,
    raw_usage              jsonb,
    service_tier           text,
    provider_request_id    text,
    finish_reason          text,
    attempts               integer NOT NULL,
    first_byte_ms          integer,
    duration_ms            integer NOT NULL,
    request_bytes          bigint NOT NULL,
    response_bytes         bigint NOT NULL,
    client                 text,
    started_at             timestamptz NOT NULL,
    revision               integer NOT NULL DEFAULT 1,
    recorded_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (request_id)
) PARTITION BY RANGE (request_id);
CREATE INDEX request_logs_by_org ON public.request_logs (org_id, request_id DESC);

CREATE TABLE public.audit_events (
    id            uuid PRIMARY KEY,
    org_id        uuid,
    actor         text NOT NULL,
    action        text NOT NULL,
    resource      text NOT NULL,
    before        jsonb,
    after         jsonb,
    ip            text,
    user_agent    text,
    request_id    text,
    occurred_at   timestamptz NOT NULL
);
CREATE INDEX audit_events_by_org ON public.audit_events (org_id, occurred_at DESC, id);

-- What the control plane still has to publish to a gate that is not this database: the aggregate, not the change.
CREATE TABLE public.outbox (
    id            uuid PRIMARY KEY,
    org_id        uuid NOT NULL,
    aggregate     text NOT NULL,
    aggregate_id  uuid NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    published_at  timestamptz
);
CREATE INDEX outbox_unpublished ON public.outbox (created_at) WHERE published_at IS NULL;

CREATE TRIGGER touch BEFORE UPDATE ON public.organizations FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON public.workspaces FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON public.api_keys FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON public.provider_keys FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON public.org_provider_settings FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON public.user_identities FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON public.org_members FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
