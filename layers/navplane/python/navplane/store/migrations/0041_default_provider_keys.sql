-- Which of an organization's keys for a provider is its default one, which then is used alone, and which key one replaces.

ALTER TABLE public.provider_keys ADD COLUMN is_default boolean NOT NULL DEFAULT false;
ALTER TABLE public.provider_keys ADD COLUMN replaces uuid;
CREATE UNIQUE INDEX provider_keys_one_default ON public.provider_keys (org_id, provider) WHERE is_default AND deleted_at IS NULL;
GRANT SELECT (is_default, replaces) ON public.provider_keys TO navplane_admin, navplane_reader;

-- A key stands by while another is its provider's default: it is kept, and the gate does not see it.
ALTER TABLE public.provider_keys ADD COLUMN stands_by boolean NOT NULL DEFAULT false;
GRANT SELECT (stands_by) ON public.provider_keys TO navplane_admin, navplane_reader;
ALTER POLICY gate ON public.provider_keys USING (NOT stands_by);
