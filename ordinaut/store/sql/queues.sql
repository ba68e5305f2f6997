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
-- Make those of the queues that nobody has made meanwhile, as many as there is room for.
INSERT INTO queue (queue, name)
SELECT x.queue, x.name FROM (
    SELECT last.queue + row_number() OVER (ORDER BY wanted.name) AS queue, wanted.name
    FROM unnest(%(names)b::text[]) AS wanted (name) CROSS JOIN (SELECT max(queue) AS queue FROM queue) last
    WHERE NOT EXISTS (SELECT FROM queue q WHERE q.name = wanted.name)
) x WHERE x.queue < %(limit)s;
