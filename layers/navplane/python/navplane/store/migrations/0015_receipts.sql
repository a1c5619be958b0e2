-- A caller's own receipts: the role that only reads may look one API key up, by its digest, and nothing else about keys.

-- Whose key it is, why it may not ask (as at the gate), and whether the request is still open there.
CREATE FUNCTION public.receipt_caller(of_digest bytea, of_request_id uuid, at_time timestamptz) RETURNS TABLE (
    org_id uuid, workspace_id uuid, refused text, pending boolean
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.org_id, k.workspace_id,
           CASE WHEN k.revoked_at IS NOT NULL OR k.expires_at <= at_time OR o.deleted_at IS NOT NULL THEN 'invalid_key'
                WHEN NOT o.enabled THEN 'organization_disabled' END,
           EXISTS (SELECT FROM public.reservations AS r
                    WHERE r.request_id = of_request_id AND r.org_id = k.org_id AND r.workspace_id = k.workspace_id
                      AND r.state <> 'final')
      FROM public.api_keys AS k JOIN public.organizations AS o ON o.id = k.org_id
     WHERE k.digest = of_digest
$$;
REVOKE ALL ON FUNCTION public.receipt_caller(bytea, uuid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.receipt_caller(bytea, uuid, timestamptz) TO navplane_reader;

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.receipt_caller(bytea, uuid, timestamptz) OWNER TO navplane_gate_definer;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
