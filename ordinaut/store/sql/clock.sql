-- claim_due_tasks --
-- Tasks with a nominal time that has come, locked until the firing transaction ends; others skip them. Left out are those
-- of creators whose rights are not known yet: they must not fill the batch. Whether a run has ended is asked of one run at
-- a time: as a join, the planner reads all runs of the day for each task.
SELECT c.task_id, c.evaluated_at, c.as_of, c.kept, c.next_fire_at, c.unauthorized_at,
       t.namespace, t.name, t.spec, t.params, t.anchor, t.revision, t.snoozed_until, t.creator_id,
       (SELECT i.identity FROM creator i WHERE i.creator_id = t.creator_id) AS creator,
       EXISTS (SELECT FROM active_run a WHERE a.task_id = c.task_id
               AND (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = a.run_id)) AS busy, now() AS now
FROM task_clock c JOIN task t USING (task_id)
WHERE c.next_fire_at <= now()
  AND (t.creator_id IS NULL OR NOT EXISTS (
      SELECT FROM unnest(%(creators)b::bigint[], %(namespaces)b::text[]) AS unknown (creator_id, namespace)
      WHERE unknown.creator_id = t.creator_id AND unknown.namespace = t.namespace))
ORDER BY c.next_fire_at
LIMIT %(limit)s
FOR UPDATE OF c SKIP LOCKED;

-- advance_clocks --
-- Each nominal time up to evaluated_at is in the ledger now.
UPDATE task_clock c SET evaluated_at = x.evaluated_at, as_of = x.as_of, kept = x.kept, next_fire_at = x.next_fire_at,
       unauthorized_at = x.unauthorized_at, tzdata = %(tzdata)s
FROM unnest(%(task_ids)b::bigint[], %(evaluated)b::timestamptz[], %(as_of)b::timestamptz[], %(kept)b::int[], %(next_fires)b::timestamptz[],
            %(unauthorized)b::timestamptz[])
     AS x (task_id, evaluated_at, as_of, kept, next_fire_at, unauthorized_at)
WHERE c.task_id = x.task_id;

-- insert_fires --
-- The ledger. Its key is the second lock: only what it returns may get a run.
INSERT INTO fire (task_id, scheduled_at, outcome, reason, run_id)
SELECT * FROM unnest(%(task_ids)b::bigint[], %(scheduled)b::timestamptz[], %(outcomes)b::text[], %(reasons)b::text[], %(run_ids)b::uuid[])
ON CONFLICT DO NOTHING
RETURNING task_id, scheduled_at;

-- due_seconds --
-- The distinct seconds until the horizon in which something becomes due.
SELECT DISTINCT date_trunc('second', due) AS due FROM (
    SELECT next_fire_at FROM task_clock WHERE next_fire_at <= now() + %(horizon)s::interval
    UNION ALL SELECT due_at FROM delayed_work WHERE due_at <= now() + %(horizon)s::interval
) AS soon (due)
ORDER BY due;

-- database_time --
-- The one clock that counts.
SELECT now();

-- lock_task --
-- A task that is about to be run by hand, locked against its own clock.
SELECT t.task_id, t.namespace, t.name, t.spec, t.ready, t.reason, t.message, t.revision, now() AS now,
       EXISTS (SELECT FROM active_run a WHERE a.task_id = t.task_id
               AND (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = a.run_id)) AS busy
FROM task t JOIN task_clock c USING (task_id)
WHERE t.namespace = %(namespace)s AND t.name = %(name)s AND t.deleted_at IS NULL
FOR UPDATE OF c;

-- stale_clocks --
-- Tasks whose next time was computed with other time zone data.
SELECT task_id FROM task_clock WHERE tzdata <> %(tzdata)s ORDER BY task_id LIMIT %(limit)s;

-- lock_clocks --
-- The clocks of these tasks, locked, with what their next time is computed from.
SELECT c.task_id, c.evaluated_at, c.as_of, c.kept, c.next_fire_at, c.unauthorized_at, t.spec, t.anchor, t.snoozed_until
FROM task_clock c JOIN task t USING (task_id) WHERE c.task_id = ANY(%(task_ids)b) ORDER BY c.task_id FOR UPDATE OF c;
