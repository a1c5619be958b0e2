-- What provider_probe may do: read what is sealed, one organization at a time, to ask a provider about its own key.

CREATE POLICY probe ON public.provider_keys FOR SELECT TO navplane_probe
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
GRANT SELECT (org_id, id, provider, base_url, region, demo, sealed, deleted_at) ON public.provider_keys TO navplane_probe;
