-- Policies and routes as rows, limits for the person whose a key is, and weights for provider keys. model/policy.py and
-- model/route.py say what they mean; 0012_admission_by_routes.sql decides by them.

CREATE TABLE public.policies (
    org_id              uuid NOT NULL REFERENCES public.organizations (id),
    id                  uuid NOT NULL,
    scope               text NOT NULL CHECK (scope IN ('key', 'workspace', 'organization')),
    scope_id            uuid NOT NULL,
    enabled_providers   text[] NOT NULL DEFAULT '{}',
    disabled_providers  text[] NOT NULL DEFAULT '{}',
    allow_models        text[] NOT NULL DEFAULT '{}',
    block_models        text[] NOT NULL DEFAULT '{}',
    allow_files         boolean,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, scope_id)
);

-- `targets`: [{"provider", "model" (null: as asked), "step", "weight"}]; `conditions`: [{"attribute", "any_of": [globs]}].
CREATE TABLE public.routes (
    org_id                uuid NOT NULL REFERENCES public.organizations (id),
    id                    uuid NOT NULL,
    workspace_id          uuid,
    name                  text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    match                 text NOT NULL CHECK (length(match) BETWEEN 1 AND 256),
    dialect               text NOT NULL,
    position              integer NOT NULL,
    conditions            jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(conditions) = 'array'),
    targets               jsonb NOT NULL CHECK (jsonb_typeof(targets) = 'array'),
    fallback_when_billed  boolean NOT NULL DEFAULT false,
    workflow_version_id   uuid,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE NULLS NOT DISTINCT (org_id, workspace_id, name),
    FOREIGN KEY (org_id, workspace_id) REFERENCES public.workspaces (org_id, id)
);

CREATE TRIGGER touch BEFORE UPDATE ON public.policies FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON public.routes FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();

ALTER TABLE public.policies ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.routes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.policies TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.routes TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY gate ON public.policies FOR SELECT TO navplane_gate_definer USING (true);
CREATE POLICY gate ON public.routes FOR SELECT TO navplane_gate_definer USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.policies, public.routes TO navplane_admin;
GRANT SELECT ON public.policies, public.routes TO navplane_reader, navplane_gate_definer;

-- An organization's provider settings are its policy from here on. The admin functions of the release before still write the
-- old table while this one is being deployed; what they write counts.
CREATE FUNCTION public.keep_policy_of_settings() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.policies AS p (org_id, id, scope, scope_id, disabled_providers, allow_models, block_models)
    VALUES (NEW.org_id, gen_random_uuid(), 'organization', NEW.org_id, NEW.disabled_providers, NEW.allow_models, NEW.block_models)
        ON CONFLICT (org_id, scope_id) DO UPDATE SET disabled_providers = excluded.disabled_providers,
           allow_models = excluded.allow_models, block_models = excluded.block_models;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION public.keep_policy_of_settings() FROM PUBLIC;
CREATE TRIGGER keep_policy AFTER INSERT OR UPDATE ON public.org_provider_settings
   FOR EACH ROW EXECUTE FUNCTION public.keep_policy_of_settings();

CREATE POLICY moving ON public.org_provider_settings FOR SELECT TO navplane_owner USING (true);
CREATE POLICY moving ON public.policies TO navplane_owner USING (true) WITH CHECK (true);
INSERT INTO public.policies (org_id, id, scope, scope_id, disabled_providers, allow_models, block_models)
SELECT s.org_id, gen_random_uuid(), 'organization', s.org_id, s.disabled_providers, s.allow_models, s.block_models
  FROM public.org_provider_settings AS s;
DO $$
BEGIN
    ASSERT (SELECT count(*) FROM public.policies) = (SELECT count(*) FROM public.org_provider_settings), 'settings were lost';
END $$;
DROP POLICY moving ON public.org_provider_settings;
DROP POLICY moving ON public.policies;

-- Which of several keys for one provider is used, and how often.
ALTER TABLE public.provider_keys ADD COLUMN weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000);
GRANT SELECT (weight) ON public.provider_keys TO navplane_admin, navplane_reader;

-- A person's limits belong to an organization; somebody in two of them has two counters.
ALTER TABLE public.limits DROP CONSTRAINT limits_scope_check;
ALTER TABLE public.limits ADD CONSTRAINT limits_scope_check
    CHECK (scope IN ('key', 'user', 'workspace', 'organization')) NOT VALID;
ALTER TABLE public.limits VALIDATE CONSTRAINT limits_scope_check;
ALTER TABLE public.limit_counters DROP CONSTRAINT limit_counters_scope_id_kind_window_name_key;
ALTER TABLE public.limit_counters
    ADD CONSTRAINT limit_counters_one_per_window UNIQUE NULLS NOT DISTINCT (scope_id, kind, window_name, org_id);
