-- Request logs are kept by the month and go by the month: a partition is taken off its table first, which waits for a lock for an
-- instant only, and dropped afterwards, when nobody can reach it any more. Both are the owner's right, lent to maintenance.

-- Takes the oldest partition off whose month ended before `before`; answers its name, or NULL where there is none. With lock_not_available
-- it did nothing: it must be asked again, rather than keep everybody waiting behind it.
CREATE FUNCTION public.retire_request_log_partition(before timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '100ms' AS $$
DECLARE
    name  text;
BEGIN
    -- A dead letter may come back for 28 days, and a reservation stays for 35.
    IF before > now() - interval '35 days' THEN
        RAISE EXCEPTION 'request logs are kept for 35 days at least' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT c.relname INTO name
      FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'public.request_logs'::regclass AND c.relname ~ '^request_logs_\d{4}_\d{2}$'
       AND to_timestamp(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= before
     ORDER BY c.relname LIMIT 1;
    IF name IS NOT NULL THEN
        EXECUTE format('ALTER TABLE public.request_logs DETACH PARTITION public.%I', name);
    END IF;
    RETURN name;
END $$;

-- Drops what was taken off, the oldest first and one at a time; answers its name, or NULL where there is nothing.
CREATE FUNCTION public.drop_retired_request_logs(before timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '100ms' AS $$
DECLARE
    name  text;
BEGIN
    IF before > now() - interval '35 days' THEN
        RAISE EXCEPTION 'request logs are kept for 35 days at least' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT c.relname INTO name
      FROM pg_class AS c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^request_logs_\d{4}_\d{2}$'
       AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
       AND to_timestamp(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= before
     ORDER BY c.relname LIMIT 1;
    IF name IS NOT NULL THEN
        EXECUTE format('DROP TABLE public.%I', name);
    END IF;
    RETURN name;
END $$;

REVOKE ALL ON FUNCTION public.retire_request_log_partition(timestamptz), public.drop_retired_request_logs(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.retire_request_log_partition(timestamptz), public.drop_retired_request_logs(timestamptz)
   TO navplane_writer;
