-- A durable queue of usage events in Postgres, for a container without SQS. Messages are text: what they mean, and whose
-- they are, is decided by the writer. navplane_gate may put in, navplane_writer takes out; nobody else sees it.

CREATE TABLE public.usage_queue (
    id           uuid PRIMARY KEY,
    body         text NOT NULL,
    enqueued_at  timestamptz NOT NULL DEFAULT now(),
    visible_at   timestamptz NOT NULL DEFAULT now(),
    deliveries   integer NOT NULL DEFAULT 0,
    dead_reason  text
);
CREATE INDEX usage_queue_waiting ON public.usage_queue (visible_at) WHERE dead_reason IS NULL;

REVOKE ALL ON public.usage_queue FROM PUBLIC;
GRANT INSERT (id, body) ON public.usage_queue TO navplane_gate;
GRANT SELECT, UPDATE, DELETE ON public.usage_queue TO navplane_writer;

-- It holds every tenant's events and no org_id that could be trusted, so its policies go by role alone.
ALTER TABLE public.usage_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.usage_queue FORCE ROW LEVEL SECURITY;
CREATE POLICY put_in ON public.usage_queue FOR INSERT TO navplane_gate WITH CHECK (true);
CREATE POLICY take_out ON public.usage_queue TO navplane_writer USING (true) WITH CHECK (true);
