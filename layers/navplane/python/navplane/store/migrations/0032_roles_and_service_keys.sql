-- Who may do what in an organization beyond being a member: roles in workspaces, service keys, invitations. And what an operator
-- may say of a user: deactivated, or to sign in again.

ALTER TABLE public.user_identities
    ADD COLUMN claimed_permissions text[] NOT NULL DEFAULT '{}',
    ADD COLUMN deactivated_at timestamptz,
    ADD COLUMN tokens_not_before timestamptz;
-- What it used keeps its workspace.
ALTER TABLE public.workspaces ADD COLUMN deleted_at timestamptz;
CREATE INDEX org_members_by_user ON public.org_members (user_id);

-- Without a workspace the role holds in the whole organization.
CREATE TABLE public.role_assignments (
    org_id        uuid NOT NULL,
    id            uuid NOT NULL,
    user_id       uuid NOT NULL,
    workspace_id  uuid,
    role          text NOT NULL CHECK (role IN ('workspace_admin', 'operator', 'approver', 'auditor', 'integration_admin')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE NULLS NOT DISTINCT (org_id, user_id, workspace_id, role),
    FOREIGN KEY (org_id, user_id) REFERENCES public.org_members (org_id, user_id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, workspace_id) REFERENCES public.workspaces (org_id, id)
);

-- Automation signs in with one. Only its SHA-256 is stored.
CREATE TABLE public.service_keys (
    org_id        uuid NOT NULL REFERENCES public.organizations (id),
    id            uuid NOT NULL,
    workspace_id  uuid,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    role          text NOT NULL CHECK (role IN ('workspace_admin', 'operator', 'approver', 'auditor', 'integration_admin')),
    digest        bytea NOT NULL CHECK (length(digest) = 32),
    key_hint      text NOT NULL,
    created_by    text NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    last_used_at  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE (digest),
    FOREIGN KEY (org_id, workspace_id) REFERENCES public.workspaces (org_id, id)
);

-- The token went out by mail; only its SHA-256 is stored. `roles` are those that are assigned on acceptance.
CREATE TABLE public.invitations (
    org_id        uuid NOT NULL REFERENCES public.organizations (id),
    id            uuid NOT NULL,
    email         text NOT NULL CHECK (length(email) BETWEEN 3 AND 320),
    membership    text NOT NULL CHECK (membership IN ('owner', 'member')),
    roles         jsonb NOT NULL DEFAULT '[]',
    token_digest  bytea NOT NULL CHECK (length(token_digest) = 32),
    invited_by    text NOT NULL,
    expires_at    timestamptz NOT NULL,
    accepted_at   timestamptz,
    accepted_by   uuid REFERENCES public.user_identities (id),
    revoked_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE (token_digest)
);

REVOKE ALL ON public.role_assignments, public.service_keys, public.invitations FROM PUBLIC;
ALTER TABLE public.role_assignments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.service_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.invitations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.role_assignments TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.service_keys TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.invitations TO navplane_admin
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON public.role_assignments TO navplane_admin;
GRANT SELECT ON public.role_assignments TO navplane_reader;
GRANT SELECT (org_id, id, workspace_id, name, role, key_hint, created_by, expires_at, revoked_at, last_used_at, created_at),
      INSERT, UPDATE ON public.service_keys TO navplane_admin;
GRANT SELECT (org_id, id, workspace_id, name, role, key_hint, created_by, expires_at, revoked_at, last_used_at, created_at)
   ON public.service_keys TO navplane_reader;
GRANT SELECT (org_id, id, email, membership, roles, invited_by, expires_at, accepted_at, accepted_by, revoked_at, created_at),
      INSERT, UPDATE ON public.invitations TO navplane_admin;

CREATE POLICY gate ON public.service_keys TO navplane_gate_definer USING (true);
CREATE POLICY gate ON public.invitations FOR SELECT TO navplane_gate_definer USING (true);
GRANT SELECT, UPDATE ON public.service_keys TO navplane_gate_definer;
GRANT SELECT ON public.invitations TO navplane_gate_definer;

-- Whose key it is, if it is in force: asked before anybody knows the organization. It is noted as used, to five minutes.
CREATE FUNCTION public.service_key_use(of_digest bytea, at_time timestamptz)
RETURNS TABLE (key_org_id uuid, key_id uuid, key_role text, key_workspace_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.service_keys AS k SET last_used_at = at_time
     WHERE k.digest = of_digest AND k.revoked_at IS NULL AND k.expires_at > at_time
       AND (k.last_used_at IS NULL OR k.last_used_at < at_time - interval '5 minutes');
    RETURN QUERY
        SELECT k.org_id, k.id, k.role, k.workspace_id FROM public.service_keys AS k
         WHERE k.digest = of_digest AND k.revoked_at IS NULL AND k.expires_at > at_time;
END $$;

-- Which invitation a token is of, whatever became of it.
CREATE FUNCTION public.invitation_of(of_digest bytea) RETURNS TABLE (invitation_org_id uuid, invitation_id uuid)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.org_id, i.id FROM public.invitations AS i WHERE i.token_digest = of_digest
$$;

REVOKE ALL ON FUNCTION public.service_key_use(bytea, timestamptz), public.invitation_of(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.service_key_use(bytea, timestamptz) TO navplane_admin, navplane_reader;
GRANT EXECUTE ON FUNCTION public.invitation_of(bytea) TO navplane_admin;
GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.service_key_use(bytea, timestamptz) OWNER TO navplane_gate_definer;
ALTER FUNCTION public.invitation_of(bytea) OWNER TO navplane_gate_definer;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
