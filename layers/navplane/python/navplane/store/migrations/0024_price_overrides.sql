-- Agreed prices are managed through the API; and what a provider said a call cost stays beside its row, so that it can be weighed again.

ALTER TABLE public.request_logs ADD COLUMN provider_cost_usd numeric(20, 9);

-- A price that has been in force is ended, never deleted: what was charged by it must stay explicable.
GRANT DELETE ON public.price_overrides TO navplane_admin;
CREATE POLICY never_in_force ON public.price_overrides AS RESTRICTIVE FOR DELETE TO navplane_admin USING (effective_from > now());
