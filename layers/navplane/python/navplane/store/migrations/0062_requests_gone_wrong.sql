-- The requests that went wrong in one way, without passing those that went wrong in another. What went well is in none of these
-- indexes, so it costs the writer nothing. As in 0021, the log plane waits while they are made, and no model call does.

CREATE INDEX request_logs_by_outcome ON public.request_logs (org_id, outcome, request_id DESC) WHERE outcome <> 'ok';
CREATE INDEX request_logs_by_status ON public.request_logs (org_id, status, request_id DESC) WHERE status >= 400;
CREATE INDEX request_logs_by_error ON public.request_logs (org_id, error_code, request_id DESC) WHERE error_code IS NOT NULL;
CREATE INDEX request_logs_by_usage_quality ON public.request_logs (org_id, usage_quality, request_id DESC)
    WHERE usage_quality <> 'exact';
CREATE INDEX request_logs_unpriced ON public.request_logs (org_id, request_id DESC) WHERE price_quality = 'unpriced';
-- Last, for it locks readers out, and only until this is committed.
DROP INDEX public.request_logs_not_ok;
