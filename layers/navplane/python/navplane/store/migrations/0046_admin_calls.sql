-- What the admin API remembers of its callers: how much they asked for in the minute that runs, and what became of the calls
-- that carried an idempotency key. Both belong to a principal, not to an organization, and are reached by functions alone.

CREATE TABLE public.admin_paces (
    principal  text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('read', 'write')),
    minute     timestamptz NOT NULL,
    used       integer NOT NULL,
    PRIMARY KEY (principal, kind)
);

-- `ticket` names one try: a try that was given up can't mark what a later one does. `answer` is sealed with a key that is made
-- of the idempotency key itself, of which only the digest is here.
CREATE TABLE public.admin_idempotency (
    principal       text NOT NULL,
    key_digest      bytea NOT NULL,
    request_digest  bytea NOT NULL,
    ticket          uuid NOT NULL,
    started_at      timestamptz NOT NULL,
    resource        text,
    status          integer,
    answer          bytea,
    PRIMARY KEY (principal, key_digest)
);
CREATE INDEX admin_idempotency_started ON public.admin_idempotency (started_at);
GRANT SELECT, INSERT, UPDATE ON public.admin_paces TO navplane_gate_definer;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.admin_idempotency TO navplane_gate_definer;

-- One more call of `kind` in the minute of `at_time`: how many there were in it, this one included. It stops counting one past
-- `at_most`, so that a flood writes no ever-growing number. Losing a count in a crash costs nobody anything.
CREATE FUNCTION public.admin_pace(of_principal text, of_kind text, at_most integer, at_time timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    counted integer;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO public.admin_paces AS p (principal, kind, minute, used)
    VALUES (of_principal, of_kind, date_trunc('minute', at_time), 1)
        ON CONFLICT (principal, kind) DO UPDATE
       SET minute = excluded.minute, used = CASE WHEN p.minute = excluded.minute THEN least(p.used, at_most) + 1 ELSE 1 END
    RETURNING used INTO counted;
    RETURN counted;
END $$;

-- Claims the key for this ticket, or answers what an earlier call left under it. What is older than `kept_since` is forgotten;
-- what was started before `abandoned_before` and changed nothing was given up, and may be tried again.
CREATE FUNCTION public.admin_idempotency_begin(
    of_principal text, of_key bytea, of_request bytea, of_ticket uuid, at_time timestamptz,
    abandoned_before timestamptz, kept_since timestamptz
) RETURNS TABLE (claimed boolean, same_request boolean, abandoned boolean, changed text, answered integer, sealed bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.admin_idempotency AS i (principal, key_digest, request_digest, ticket, started_at)
    VALUES (of_principal, of_key, of_request, of_ticket, at_time)
        ON CONFLICT (principal, key_digest) DO UPDATE
       SET request_digest = excluded.request_digest, ticket = excluded.ticket, started_at = excluded.started_at,
           resource = NULL, status = NULL, answer = NULL
     WHERE i.started_at < kept_since
        OR i.request_digest = excluded.request_digest AND i.started_at < abandoned_before
           AND i.resource IS NULL AND i.status IS NULL;
    IF FOUND THEN
        claimed := true;
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT false, i.request_digest = of_request, i.started_at < abandoned_before, i.resource, i.status, i.answer
          FROM public.admin_idempotency AS i WHERE i.principal = of_principal AND i.key_digest = of_key;
END $$;

-- In the change's own transaction: what was changed under the key. False when the key is no longer this ticket's; the change
-- must then not happen.
CREATE FUNCTION public.admin_idempotency_mark(of_principal text, of_key bytea, of_ticket uuid, of_resource text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.admin_idempotency AS i SET resource = coalesce(i.resource, of_resource)
     WHERE i.principal = of_principal AND i.key_digest = of_key AND i.ticket = of_ticket;
    RETURN FOUND;
END $$;

CREATE FUNCTION public.admin_idempotency_answer(
    of_principal text, of_key bytea, of_ticket uuid, of_status integer, of_answer bytea
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE public.admin_idempotency AS i SET status = of_status, answer = of_answer
     WHERE i.principal = of_principal AND i.key_digest = of_key AND i.ticket = of_ticket
$$;

-- The call was refused before it changed anything: its key is free again.
CREATE FUNCTION public.admin_idempotency_release(of_principal text, of_key bytea, of_ticket uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM public.admin_idempotency AS i
     WHERE i.principal = of_principal AND i.key_digest = of_key AND i.ticket = of_ticket AND i.resource IS NULL
$$;

CREATE FUNCTION public.admin_idempotency_forget(before timestamptz, at_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH old AS (
        SELECT i.principal, i.key_digest FROM public.admin_idempotency AS i
         WHERE i.started_at < before ORDER BY i.started_at LIMIT at_most FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM public.admin_idempotency AS i USING old
         WHERE i.principal = old.principal AND i.key_digest = old.key_digest RETURNING i.principal
    )
    SELECT count(*) FROM gone
$$;

REVOKE ALL ON FUNCTION
    public.admin_pace(text, text, integer, timestamptz),
    public.admin_idempotency_begin(text, bytea, bytea, uuid, timestamptz, timestamptz, timestamptz),
    public.admin_idempotency_mark(text, bytea, uuid, text),
    public.admin_idempotency_answer(text, bytea, uuid, integer, bytea),
    public.admin_idempotency_release(text, bytea, uuid),
    public.admin_idempotency_forget(timestamptz, integer)
 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    public.admin_pace(text, text, integer, timestamptz),
    public.admin_idempotency_begin(text, bytea, bytea, uuid, timestamptz, timestamptz, timestamptz),
    public.admin_idempotency_mark(text, bytea, uuid, text),
    public.admin_idempotency_answer(text, bytea, uuid, integer, bytea),
    public.admin_idempotency_release(text, bytea, uuid)
 TO navplane_admin, navplane_reader;
GRANT EXECUTE ON FUNCTION public.admin_idempotency_forget(timestamptz, integer) TO navplane_writer;

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.admin_pace(text, text, integer, timestamptz) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.admin_idempotency_begin(text, bytea, bytea, uuid, timestamptz, timestamptz, timestamptz)
    OWNER TO navplane_gate_definer;
ALTER FUNCTION public.admin_idempotency_mark(text, bytea, uuid, text) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.admin_idempotency_answer(text, bytea, uuid, integer, bytea) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.admin_idempotency_release(text, bytea, uuid) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.admin_idempotency_forget(timestamptz, integer) OWNER TO navplane_gate_definer;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
