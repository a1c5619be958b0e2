-- Which route a request took, what was tried on the way, and whose a key is. Columns only, empty for what is there already: no
-- row is written, so nobody waits.

-- `attempts` counts the tries; `attempt_log` is what became of each: provider, key, model, status or error, milliseconds.
ALTER TABLE public.request_logs ADD COLUMN route text;
ALTER TABLE public.request_logs ADD COLUMN attempt_log jsonb;
ALTER TABLE public.request_logs ADD COLUMN workflow_version_id uuid;

-- A key may belong to a person, whose limits it then shares with their other keys.
ALTER TABLE public.api_keys ADD COLUMN owner_user_id uuid REFERENCES public.user_identities (id);
GRANT SELECT (owner_user_id) ON public.api_keys TO navplane_admin, navplane_reader;
