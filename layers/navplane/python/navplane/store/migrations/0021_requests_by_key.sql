-- The requests of one key, and those that did not go well, without passing all others of the organization. While the indexes are
-- made the log plane waits, and its messages wait in the queue; no model call does.

CREATE INDEX request_logs_by_key ON public.request_logs (org_id, key_id, request_id DESC);
CREATE INDEX request_logs_not_ok ON public.request_logs (org_id, request_id DESC) WHERE outcome <> 'ok';
