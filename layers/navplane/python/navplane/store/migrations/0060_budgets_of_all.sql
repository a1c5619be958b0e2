-- What is left of every organization's budgets, for platform admins.

SET LOCAL ROLE navplane_gate_definer;
GRANT EXECUTE ON FUNCTION public.budgets_of_everybody(timestamptz) TO navplane_platform_reader;
SET LOCAL ROLE navplane_owner;
