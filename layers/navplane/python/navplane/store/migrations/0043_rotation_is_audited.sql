-- A rotation of the KEK is a change of the platform: it begins and ends in the platform's audit.

SET LOCAL ROLE navplane_keeper;
GRANT EXECUTE ON FUNCTION public.audit_append(text) TO navplane_rewrap;
SET LOCAL ROLE navplane_owner;
