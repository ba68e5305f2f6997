-- announce_worker --
-- A worker that begins, or one that nobody remembers.
INSERT INTO worker (name, queues, slots, version, started_at, live_until, draining_at)
VALUES (%(name)s, %(queues)b, %(slots)s, %(version)s, now() - %(age)s::interval, now() + %(lease)s::interval,
        CASE WHEN %(draining)s THEN now() END)
ON CONFLICT (name) DO UPDATE SET
    queues = excluded.queues, slots = excluded.slots, version = excluded.version, started_at = excluded.started_at,
    seen_at = excluded.seen_at, live_until = excluded.live_until, draining_at = excluded.draining_at;

-- worker_lives --
-- A worker's sign of life.
UPDATE worker SET seen_at = now(), live_until = now() + %(lease)s::interval,
       draining_at = CASE WHEN %(draining)s THEN coalesce(draining_at, now()) END
WHERE name = %(name)s;

-- forget_worker --
-- A worker that ends.
DELETE FROM worker WHERE name = %(name)s;

-- forget_lost_workers --
-- Workers that ended without a word.
DELETE FROM worker WHERE seen_at < now() - make_interval(secs => %(silent)s);

-- list_workers --
-- Workers that live, and how many runs each holds, whoever they belong to.
SELECT w.name, w.queues, w.slots, w.version, w.started_at, w.seen_at, w.draining_at,
       coalesce((SELECT sum(cardinality(l.items)) FROM work_lease l WHERE l.worker = w.name), 0)::int AS busy
FROM worker w WHERE w.live_until > now() AND w.name > %(after)s
ORDER BY w.name LIMIT %(limit)s;

-- runs_of_workers --
-- What workers hold of a namespace, each the runs that it has held longest, and how many there are in all.
SELECT h.worker, h.run_id, h.task, h.since, h.held FROM (
    SELECT l.worker, i.run_id, t.name AS task, l.leased_at AS since, count(*) OVER (PARTITION BY l.worker)::int AS held,
           row_number() OVER (PARTITION BY l.worker ORDER BY l.leased_at, i.run_id) AS place
    FROM work_lease l CROSS JOIN unnest(l.items) i
    JOIN run r ON r.run_id = i.run_id AND r.namespace = %(namespace)s AND r.finished_at IS NULL
    JOIN task t ON t.task_id = r.task_id
    WHERE l.worker = ANY(%(workers)b)
) h WHERE h.place <= %(runs)s ORDER BY h.worker, h.place;

-- worker_figures --
-- How many workers live, and how many queues have work and no worker that takes it.
SELECT (SELECT count(*) FROM worker WHERE live_until > now()),
       (SELECT count(*) FROM queue q
        WHERE (EXISTS (SELECT FROM due_work d WHERE d.queue = q.queue) OR EXISTS (SELECT FROM due_work d WHERE d.queue = -1 - q.queue))
          AND NOT EXISTS (SELECT FROM worker w
                          WHERE w.live_until > now() AND w.draining_at IS NULL AND w.queues && ARRAY[q.name, '*']));
