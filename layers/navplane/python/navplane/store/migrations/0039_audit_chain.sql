-- The audit as a chain for each organization, and one for the platform: each entry's hash holds the one before it, and heads are
-- signed. crypto/audit_chain.py says what is hashed and signed. Nobody but navplane_keeper's function adds an event.

-- Events from before the chain have no sequence. `entry` is what was hashed; the other columns are its parts, to be searched.
ALTER TABLE public.audit_events ADD COLUMN sequence bigint;
ALTER TABLE public.audit_events ADD COLUMN entry text;
ALTER TABLE public.audit_events ADD COLUMN previous_hash bytea;
ALTER TABLE public.audit_events ADD COLUMN hash bytea;
CREATE UNIQUE INDEX audit_events_by_sequence ON public.audit_events (org_id, sequence) NULLS NOT DISTINCT
 WHERE sequence IS NOT NULL;
CREATE INDEX audit_events_by_time ON public.audit_events (occurred_at DESC, id DESC);

-- Where each chain ends. The platform's has the organization of zeros.
CREATE TABLE public.audit_chains (
    org_id    uuid PRIMARY KEY,
    sequence  bigint NOT NULL,
    hash      bytea NOT NULL CHECK (length(hash) = 32)
);

-- Who signs heads. The public half is for everybody, the other is sealed under the KEK.
CREATE TABLE public.audit_keys (
    id          uuid PRIMARY KEY,
    public_key  bytea NOT NULL CHECK (length(public_key) = 32),
    region      text NOT NULL CHECK (region IN ('us', 'eu')),
    sealed      bytea NOT NULL,
    kek_id      text NOT NULL,
    created_at  timestamptz NOT NULL
);

CREATE TABLE public.audit_heads (
    org_id     uuid NOT NULL,
    sequence   bigint NOT NULL,
    hash       bytea NOT NULL CHECK (length(hash) = 32),
    signed_at  timestamptz NOT NULL,
    key_id     uuid NOT NULL REFERENCES public.audit_keys (id),
    signature  bytea NOT NULL CHECK (length(signature) = 64),
    PRIMARY KEY (org_id, sequence, signed_at)
);

REVOKE ALL ON public.audit_chains, public.audit_keys, public.audit_heads FROM PUBLIC;
ALTER TABLE public.audit_chains ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.audit_heads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON public.audit_heads TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY platform ON public.audit_heads FOR SELECT TO navplane_platform_reader USING (true);
GRANT SELECT ON public.audit_heads TO navplane_admin, navplane_reader, navplane_platform_reader;
GRANT SELECT (id, public_key, created_at) ON public.audit_keys TO navplane_admin, navplane_reader;

-- The keeper adds events and moves the chain's end; it changes and deletes none.
CREATE POLICY keeper ON public.audit_events FOR SELECT TO navplane_keeper USING (true);
CREATE POLICY keeper_insert ON public.audit_events FOR INSERT TO navplane_keeper WITH CHECK (true);
CREATE POLICY keeper ON public.audit_chains TO navplane_keeper USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON public.audit_events TO navplane_keeper;
GRANT SELECT, INSERT, UPDATE ON public.audit_chains TO navplane_keeper;
REVOKE INSERT ON public.audit_events FROM navplane_admin;

-- The signer follows every chain, signs its end and keeps its own key.
CREATE POLICY signer ON public.audit_events FOR SELECT TO navplane_signer USING (true);
CREATE POLICY signer ON public.audit_chains FOR SELECT TO navplane_signer USING (true);
CREATE POLICY signer ON public.audit_heads FOR SELECT TO navplane_signer USING (true);
CREATE POLICY signer_insert ON public.audit_heads FOR INSERT TO navplane_signer WITH CHECK (true);
GRANT SELECT (org_id, sequence, entry, previous_hash, hash) ON public.audit_events TO navplane_signer;
GRANT SELECT ON public.audit_chains TO navplane_signer;
GRANT SELECT, INSERT ON public.audit_heads, public.audit_keys TO navplane_signer;

-- Adds an event to its organization's chain, in the transaction of the change, and answers its place. `new_entry` is canonical JSON.
-- The chain's end is locked until the transaction ends: so the places of a chain are without gaps and in the order of commits.
CREATE FUNCTION public.audit_append(new_entry text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said    jsonb := new_entry::jsonb;
    whose   uuid := (said ->> 'organization')::uuid;
    chain   uuid := coalesce(whose, '00000000-0000-0000-0000-000000000000'::uuid);
    tip     record;
    digest  bytea;
BEGIN
    IF whose IS DISTINCT FROM NULLIF(current_setting('app.org_id', true), '')::uuid THEN
        RAISE EXCEPTION 'the event belongs to another organization than the transaction' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO public.audit_chains (org_id, sequence, hash) VALUES (chain, 0, decode(repeat('00', 32), 'hex'))
        ON CONFLICT (org_id) DO NOTHING;
    SELECT c.sequence + 1 AS next, c.hash INTO tip FROM public.audit_chains AS c WHERE c.org_id = chain FOR UPDATE;
    digest := sha256('\x01'::bytea || uuid_send(chain) || int8send(tip.next) || tip.hash || convert_to(new_entry, 'UTF8'));
    INSERT INTO public.audit_events (
        id, org_id, actor, action, resource, before, after, ip, user_agent, request_id, occurred_at,
        sequence, entry, previous_hash, hash
    ) VALUES (
        (said ->> 'id')::uuid, whose, said ->> 'actor', said ->> 'action', said ->> 'resource',
        NULLIF(said -> 'before', 'null'::jsonb), NULLIF(said -> 'after', 'null'::jsonb), said ->> 'ip', said ->> 'user_agent',
        said ->> 'request_id', (said ->> 'occurred_at')::timestamptz, tip.next, new_entry, tip.hash, digest
    );
    UPDATE public.audit_chains AS c SET sequence = tip.next, hash = digest WHERE c.org_id = chain;
    RETURN tip.next;
END $$;

REVOKE ALL ON FUNCTION public.audit_append(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.audit_append(text) TO navplane_admin;
GRANT CREATE ON SCHEMA public TO navplane_keeper;
ALTER FUNCTION public.audit_append(text) OWNER TO navplane_keeper;
REVOKE CREATE ON SCHEMA public FROM navplane_keeper;
