-- What the provider was called with, where a route or `provider/model` led to another name than the client's. A column only,
-- empty for what is there already: no row is written, so nobody waits.
ALTER TABLE public.request_logs ADD COLUMN upstream_model text;
