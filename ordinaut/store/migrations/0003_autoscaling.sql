-- What autoscalers ask. An autoscaler's role needs USAGE of the schema and nothing else: the functions run with the rights of
-- their owner, which is why their search path is fixed, and tell a number that is never NULL.

-- Claimable work: how many runs a worker could take now.
CREATE OR REPLACE FUNCTION ordinaut.claimable(for_queue smallint DEFAULT 0) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM ordinaut.due_work WHERE queue = for_queue
$$;

-- Runs under a lease: what keeps workers busy. By claimable work alone, an autoscaler would take workers away as soon as
-- they have taken all of it.
CREATE FUNCTION ordinaut.leased() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(cardinality(items)), 0)::bigint FROM ordinaut.work_lease
$$;

-- How much becomes claimable within so many seconds: tasks that fire, overdue ones too, and runs whose wait is over.
CREATE FUNCTION ordinaut.due_within(seconds integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT (SELECT count(*) FROM ordinaut.task_clock WHERE next_fire_at <= now() + make_interval(secs => seconds))
         + (SELECT count(*) FROM ordinaut.delayed_work WHERE due_at <= now() + make_interval(secs => seconds))
$$;
