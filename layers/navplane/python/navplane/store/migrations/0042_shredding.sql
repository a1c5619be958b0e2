-- Crypto-shredding: what is sealed for an organization is destroyed with the keys that open it, and a certificate says so.

-- `statement` is the text that is signed. The signature comes within a minute, from who alone can sign.
CREATE TABLE public.shredding_certificates (
    org_id      uuid PRIMARY KEY REFERENCES public.organizations (id),
    id          uuid NOT NULL UNIQUE,
    statement   text NOT NULL,
    created_at  timestamptz NOT NULL,
    key_id      uuid REFERENCES public.audit_keys (id),
    signature   bytea CHECK (length(signature) = 64),
    signed_at   timestamptz,
    CHECK (num_nulls(key_id, signature, signed_at) IN (0, 3))
);
REVOKE ALL ON public.shredding_certificates FROM PUBLIC;
ALTER TABLE public.shredding_certificates ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.shredding_certificates TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY keeper_insert ON public.shredding_certificates FOR INSERT TO navplane_keeper WITH CHECK (signature IS NULL);
CREATE POLICY signer ON public.shredding_certificates FOR SELECT TO navplane_signer USING (true);
CREATE POLICY signer_update ON public.shredding_certificates FOR UPDATE TO navplane_signer
    USING (signature IS NULL) WITH CHECK (signature IS NOT NULL);
GRANT SELECT ON public.shredding_certificates TO navplane_admin, navplane_reader, navplane_signer;
GRANT UPDATE (key_id, signature, signed_at) ON public.shredding_certificates TO navplane_signer;
GRANT INSERT ON public.shredding_certificates TO navplane_keeper;

CREATE POLICY keeper ON public.provider_keys FOR SELECT TO navplane_keeper USING (true);
CREATE POLICY keeper_delete ON public.provider_keys FOR DELETE TO navplane_keeper USING (true);
GRANT SELECT (org_id, id, kek_id, sealed), DELETE ON public.provider_keys TO navplane_keeper;

-- Destroys what every table holds sealed for the transaction's organization, and answers the statement of what that was: the rows
-- are found in the catalogue, and the statement is made here, so that nobody can have anything certified that did not happen.
CREATE FUNCTION public.shred_organization(certificate_id uuid, of_org_id uuid, by_actor text, at_time timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place      text;
    destroyed  jsonb := '[]';
    part       jsonb;
    gone       bigint := 0;
    n          bigint;
    said       text;
BEGIN
    IF of_org_id IS DISTINCT FROM NULLIF(current_setting('app.org_id', true), '')::uuid THEN
        RAISE EXCEPTION 'another organization than the transaction''s' USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR place IN
        SELECT c.relname FROM pg_class AS c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
           AND 4 = (SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND NOT a.attisdropped
                       AND a.attname IN ('org_id', 'id', 'sealed', 'kek_id'))
         ORDER BY 1
    LOOP
        EXECUTE format(
            'WITH gone AS (DELETE FROM public.%I WHERE org_id = $1 RETURNING id, kek_id, sealed)'
            ' SELECT coalesce(jsonb_agg(jsonb_build_object(''table'', $2, ''id'', id, ''kek_id'', kek_id,'
            '     ''sha256'', encode(sha256(sealed), ''hex'')) ORDER BY id) FILTER (WHERE length(sealed) > 0), ''[]''),'
            ' count(*) FROM gone', place)
           INTO part, n USING of_org_id, place;
        destroyed := destroyed || part;
        gone := gone + n;
    END LOOP;
    said := jsonb_build_object(
        'format', 'navplane shredding certificate v1', 'certificate', certificate_id, 'organization', of_org_id,
        'destroyed_at', to_char(at_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'requested_by', by_actor,
        'rows_deleted', gone, 'values_destroyed', destroyed)::text;
    INSERT INTO public.shredding_certificates (org_id, id, statement, created_at)
    VALUES (of_org_id, certificate_id, said, at_time);
    RETURN said;
END $$;

REVOKE ALL ON FUNCTION public.shred_organization(uuid, uuid, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.shred_organization(uuid, uuid, text, timestamptz) TO navplane_admin;
GRANT CREATE ON SCHEMA public TO navplane_keeper;
ALTER FUNCTION public.shred_organization(uuid, uuid, text, timestamptz) OWNER TO navplane_keeper;
REVOKE CREATE ON SCHEMA public FROM navplane_keeper;
