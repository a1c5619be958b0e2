-- Workflows: routes, limits and a policy as a document with versions. What is published is rows of the same tables as what was made by
-- hand; `workflow_version_id` says whose they are. model/workflow.py says what the states mean.

CREATE TABLE public.workflows (
    org_id        uuid NOT NULL REFERENCES public.organizations (id),
    id            uuid NOT NULL,
    workspace_id  uuid,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE NULLS NOT DISTINCT (org_id, workspace_id, name),
    FOREIGN KEY (org_id, workspace_id) REFERENCES public.workspaces (org_id, id)
);

-- `authors`: everybody who made, changed or submitted it, and who stands behind their service keys: none of them may approve it.
-- `equal_to`: the number of the version that a rollback repeats.
CREATE TABLE public.workflow_versions (
    org_id        uuid NOT NULL,
    id            uuid NOT NULL,
    workflow_id   uuid NOT NULL,
    workspace_id  uuid,
    number        integer NOT NULL CHECK (number > 0),
    state         text NOT NULL CHECK (state IN ('draft', 'in_review', 'approved', 'published', 'superseded', 'withdrawn')),
    document      text NOT NULL CHECK (octet_length(document) <= 65536),
    sha256        text NOT NULL,
    authors       text[] NOT NULL,
    created_by    text NOT NULL,
    submitted_by  text,
    approved_by   text,
    published_by  text,
    equal_to      integer,
    created_at    timestamptz NOT NULL DEFAULT now(),
    submitted_at  timestamptz,
    approved_at   timestamptz,
    published_at  timestamptz,
    ended_at      timestamptz,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, workflow_id, number),
    FOREIGN KEY (org_id, workflow_id) REFERENCES public.workflows (org_id, id)
);
-- One at a time is being worked on, and one is in force where it is: so that a row's version means something.
CREATE UNIQUE INDEX workflow_versions_one_open ON public.workflow_versions (org_id, workflow_id)
    WHERE state IN ('draft', 'in_review', 'approved');
CREATE UNIQUE INDEX workflow_versions_one_published ON public.workflow_versions (org_id, workspace_id) NULLS NOT DISTINCT
    WHERE state = 'published';

-- What was published stays as it was published, whoever asks.
CREATE FUNCTION public.keep_workflow_version() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moving  constant text[] := ARRAY['state', 'ended_at', 'updated_at'];
BEGIN
    IF (NEW.org_id, NEW.id, NEW.workflow_id, NEW.workspace_id, NEW.number)
       IS DISTINCT FROM (OLD.org_id, OLD.id, OLD.workflow_id, OLD.workspace_id, OLD.number) THEN
        RAISE EXCEPTION 'a version stays where it is';
    END IF;
    IF OLD.state IN ('published', 'superseded', 'withdrawn') AND to_jsonb(NEW) - moving <> to_jsonb(OLD) - moving THEN
        RAISE EXCEPTION 'a published version does not change';
    END IF;
    IF (OLD.state = 'published' AND NEW.state NOT IN ('published', 'superseded', 'withdrawn'))
       OR (OLD.state IN ('superseded', 'withdrawn') AND NEW.state <> OLD.state) THEN
        RAISE EXCEPTION 'a published version does not go back';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION public.keep_workflow_version() FROM PUBLIC;
CREATE TRIGGER keep BEFORE UPDATE ON public.workflow_versions FOR EACH ROW EXECUTE FUNCTION public.keep_workflow_version();
CREATE TRIGGER touch BEFORE UPDATE ON public.workflows FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON public.workflow_versions FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();

ALTER TABLE public.workflows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.workflow_versions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.workflows TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY tenant ON public.workflow_versions TO navplane_admin, navplane_reader
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY gate ON public.workflow_versions FOR SELECT TO navplane_gate_definer USING (true);
GRANT SELECT, INSERT, UPDATE ON public.workflows, public.workflow_versions TO navplane_admin;
GRANT SELECT ON public.workflows, public.workflow_versions TO navplane_reader;
GRANT SELECT ON public.workflow_versions TO navplane_gate_definer;

-- Whose the rows are; routes have known it from the start. Columns only, empty for what is there: nobody waits.
ALTER TABLE public.limits ADD COLUMN workflow_version_id uuid;
ALTER TABLE public.policies ADD COLUMN workflow_version_id uuid;

-- The version that a workspace's calls run under: its own, or else its organization's.
CREATE FUNCTION public.gate_workflow(of_org_id uuid, of_workspace_id uuid) RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (
        SELECT v.id FROM public.workflow_versions AS v
         WHERE v.org_id = of_org_id AND v.state = 'published'
           AND (v.workspace_id = of_workspace_id OR v.workspace_id IS NULL)
         ORDER BY v.workspace_id NULLS LAST LIMIT 1
    );
END $$;
REVOKE ALL ON FUNCTION public.gate_workflow(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.gate_workflow(uuid, uuid) TO navplane_gate, navplane_writer;

GRANT CREATE ON SCHEMA public TO navplane_gate_definer;
ALTER FUNCTION public.gate_workflow(uuid, uuid) OWNER TO navplane_gate_definer;
SET LOCAL ROLE navplane_gate_definer;

-- As in 0013_quicker_admission.sql, with the column that limits have got.
CREATE OR REPLACE FUNCTION public.gate_rules(
    of_org_id uuid, of_workspace_id uuid, of_scopes uuid[], ask_model text, asked jsonb,
    OUT levels public.policies[], OUT routes public.routes[], OUT limits public.limits[]
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT ARRAY(
               SELECT p FROM public.policies AS p WHERE p.org_id = of_org_id AND p.scope_id = ANY (of_scopes)
                ORDER BY array_position(ARRAY['key', 'workspace', 'organization'], p.scope)),
           ARRAY(
               SELECT r FROM public.routes AS r
                WHERE r.org_id = of_org_id AND (r.workspace_id IS NULL OR r.workspace_id = of_workspace_id)
                  AND r.dialect = asked ->> 'dialect' AND public.gate_matches(ask_model, ARRAY[r.match])
                  AND public.gate_holds(r.conditions, asked -> 'attributes')
                ORDER BY r.workspace_id IS NULL, r.position, r.id),
           ARRAY(
               SELECT l FROM public.limits AS l WHERE l.org_id = of_org_id AND l.scope_id = ANY (of_scopes)
               UNION ALL
               SELECT (NULL, p.id, 'platform', '00000000-0000-0000-0000-000000000000', p.kind, p.amount, p.mode, p.allow_unpriced,
                       p.created_at, p.updated_at, NULL)::public.limits
                 FROM public.platform_limits AS p)
      INTO levels, routes, limits;
END $$;

SET LOCAL ROLE navplane_owner;
REVOKE CREATE ON SCHEMA public FROM navplane_gate_definer;
