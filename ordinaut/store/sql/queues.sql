-- queues_named --
-- The numbers of queues by their names; one that nobody has named yet is left out.
SELECT name, queue FROM queue WHERE name = ANY(%(names)b);

-- all_queues --
-- Every queue that there is.
SELECT name, queue FROM queue;

-- lock_queues --
-- One transaction at a time may make queues: a number is the largest and one more, so that none is lost to a conflict.
SELECT pg_advisory_xact_lock(hashtextextended('ordinaut.queues', 0));

-- make_queues --
-- Make those of the queues that nobody has made meanwhile, as many as there is room for: in the installation, and of what each
-- namespace has named first.
INSERT INTO queue (queue, name, namespace)
SELECT x.queue, x.name, x.namespace FROM (
    SELECT last.queue + row_number() OVER (ORDER BY fits.name) AS queue, fits.name, fits.namespace
    FROM (
        SELECT wanted.name, wanted.namespace,
               (SELECT count(*) FROM queue q WHERE q.namespace = wanted.namespace)
               + row_number() OVER (PARTITION BY wanted.namespace ORDER BY wanted.name) AS named
        FROM unnest(%(names)b::text[], %(namespaces)b::text[]) AS wanted (name, namespace)
        WHERE NOT EXISTS (SELECT FROM queue q WHERE q.name = wanted.name)
    ) fits CROSS JOIN (SELECT max(queue) AS queue FROM queue) last
    WHERE fits.named <= %(each)s
) x WHERE x.queue < %(limit)s;
