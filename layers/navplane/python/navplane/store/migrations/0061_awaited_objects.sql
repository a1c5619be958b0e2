-- Which objects at providers maintenance has to ask about: each bound with a usage event that is to be completed, until the
-- request of that event is closed. The gate's functions alone see the table.

CREATE TABLE public.awaited_objects (
    provider    text NOT NULL,
    object_id   text NOT NULL,
    org_id      uuid NOT NULL REFERENCES public.organizations (id),
    request_id  uuid NOT NULL,
    ask_at      timestamptz NOT NULL,
    asked       integer NOT NULL DEFAULT 0,
    PRIMARY KEY (provider, object_id)
);
CREATE INDEX awaited_objects_due ON public.awaited_objects (ask_at);
REVOKE ALL ON public.awaited_objects FROM PUBLIC;
ALTER TABLE public.awaited_objects ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY gate ON public.awaited_objects TO navplane_gate_definer USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.awaited_objects TO navplane_gate_definer;

-- Only who makes the object has it awaited: what is bound already stays whose it is, and is asked about as that one's.
CREATE FUNCTION public.gate_bind_object(
    bound_provider text, bound_object_id text, to_org_id uuid, by_provider_key_id uuid, at_time timestamptz, of_event text,
    awaited_by uuid
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH bound AS (
        INSERT INTO public.provider_objects (provider, object_id, org_id, provider_key_id, created_at, pending_event)
        VALUES (bound_provider, bound_object_id, to_org_id, by_provider_key_id, at_time, of_event)
            ON CONFLICT (provider, object_id) DO NOTHING
        RETURNING provider, object_id, org_id, pending_event
    )
    INSERT INTO public.awaited_objects (provider, object_id, org_id, request_id, ask_at)
    SELECT b.provider, b.object_id, b.org_id, awaited_by, at_time + interval '5 minutes' FROM bound AS b
     WHERE awaited_by IS NOT NULL AND b.pending_event IS NOT NULL
$$;

-- Settled by what a caller was shown, or closed as lost: in both cases nobody has to ask any more.
CREATE FUNCTION public.gate_forget_awaited(at_time timestamptz, up_to integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH closed AS (
        SELECT a.provider, a.object_id FROM public.awaited_objects AS a
         WHERE a.ask_at <= at_time AND NOT EXISTS (
               SELECT FROM public.reservations AS r WHERE r.request_id = a.request_id AND r.state = 'reserved')
         LIMIT up_to FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM public.awaited_objects AS a USING closed AS c
         WHERE a.provider = c.provider AND a.object_id = c.object_id
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

-- Those of one region: the stack of another may neither open their keys nor speak to their providers.
CREATE FUNCTION public.gate_take_awaited(of_region text, at_time timestamptz, up_to integer) RETURNS TABLE (
    provider text, object_id text, org_id uuid, provider_key_id uuid, event text, asked integer
) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH placed AS (
        SELECT a.provider, a.object_id, row_number() OVER (PARTITION BY a.org_id ORDER BY a.ask_at, a.object_id) AS place
          FROM public.awaited_objects AS a
          JOIN public.reservations AS r ON r.request_id = a.request_id AND r.region = of_region
         WHERE a.ask_at <= at_time
    ), taken AS (
        SELECT a.provider, a.object_id FROM public.awaited_objects AS a
          JOIN placed AS p ON p.provider = a.provider AND p.object_id = a.object_id
         WHERE a.ask_at <= at_time
         ORDER BY p.place, a.ask_at LIMIT up_to FOR UPDATE OF a SKIP LOCKED
    )
    UPDATE public.awaited_objects AS a SET ask_at = at_time + interval '2 minutes'
      FROM taken AS t, public.provider_objects AS o
     WHERE a.provider = t.provider AND a.object_id = t.object_id AND o.provider = t.provider AND o.object_id = t.object_id
    RETURNING a.provider, a.object_id, a.org_id, o.provider_key_id, o.pending_event, a.asked
$$;

CREATE FUNCTION public.gate_put_off_awaited(of_provider text, of_object_id text, until_time timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF until_time IS NULL THEN
        DELETE FROM public.awaited_objects AS a WHERE a.provider = of_provider AND a.object_id = of_object_id;
    ELSE
        UPDATE public.awaited_objects AS a SET ask_at = until_time, asked = a.asked + 1
         WHERE a.provider = of_provider AND a.object_id = of_object_id;
    END IF;
END
$$;

REVOKE ALL ON FUNCTION
    public.gate_bind_object(text, text, uuid, uuid, timestamptz, text, uuid),
    public.gate_forget_awaited(timestamptz, integer),
    public.gate_take_awaited(text, timestamptz, integer),
    public.gate_put_off_awaited(text, text, timestamptz)
 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.gate_bind_object(text, text, uuid, uuid, timestamptz, text, uuid) TO navplane_gate;
GRANT EXECUTE ON FUNCTION
    public.gate_forget_awaited(timestamptz, integer),
    public.gate_take_awaited(text, timestamptz, integer),
    public.gate_put_off_awaited(text, text, timestamptz)
 TO navplane_writer;

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.gate_bind_object(text, text, uuid, uuid, timestamptz, text, uuid) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_forget_awaited(timestamptz, integer) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_take_awaited(text, timestamptz, integer) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.gate_put_off_awaited(text, text, timestamptz) OWNER TO navplane_gate_definer;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
