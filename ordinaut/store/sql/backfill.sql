-- backfill_subject --
-- A task whose missing fires somebody wants, with how far its clock has decided. The times in between are the clock's while it
-- is awake; while it sleeps (suspended, paused), they are nobody's.
SELECT t.task_id, t.namespace, t.name, t.spec, t.anchor, t.invalid, c.schedule_key,
       CASE WHEN c.next_fire_at IS NULL THEN now() ELSE c.evaluated_at END AS decided_until, now() AS now
FROM task t JOIN task_clock c USING (task_id)
WHERE t.namespace = %(namespace)s AND t.name = %(name)s AND t.deleted_at IS NULL;

-- fired_times --
-- Which of these nominal times have a run.
SELECT f.scheduled_at FROM unnest(%(times)b::timestamptz[]) AS x (scheduled_at)
JOIN fire f ON f.task_id = %(task_id)s AND f.scheduled_at = x.scheduled_at
WHERE f.outcome = 'Fired';

-- count_open_backfills --
-- How many backfills of a task are open.
SELECT count(*) FROM backfill WHERE task_id = %(task_id)s AND finished_at IS NULL;

-- add_backfill --
-- A backfill; one with nothing to make is over at once.
INSERT INTO backfill (backfill_id, task_id, schedule_key, from_at, to_at, evaluated_at, max_active, times, missing, created_by,
                      finished_at, reason)
VALUES (%(backfill_id)s, %(task_id)s, %(schedule_key)s, %(from_at)s, %(to_at)s, %(evaluated_at)s, %(max_active)s, %(times)s,
        %(missing)s, %(created_by)s, CASE WHEN %(missing)s = 0 THEN now() END, CASE WHEN %(missing)s = 0 THEN 'Completed' END);

-- list_backfills --
-- Backfills of a namespace, newest first, before a cursor; optionally only one, or those of a live task. Of its runs those count as
-- active that have not ended.
SELECT b.backfill_id, t.namespace, t.name AS task, b.task_id, b.from_at, b.to_at, b.max_active, b.times, b.missing, b.made, b.waiting,
       b.created_at, b.created_by, b.finished_at, b.reason, t.reason AS task_reason, t.message AS task_message,
       (SELECT count(*) FROM backfill_run x WHERE x.backfill_id = b.backfill_id
        AND (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = x.run_id)) AS active
FROM backfill b JOIN task t USING (task_id)
WHERE t.namespace = %(namespace)s
  AND (%(backfill_id)s::uuid IS NULL OR b.backfill_id = %(backfill_id)s)
  AND (%(task)s::text IS NULL OR (t.name = %(task)s AND t.deleted_at IS NULL))
  AND (%(before)s::uuid IS NULL OR b.backfill_id < %(before)s)
ORDER BY b.backfill_id DESC
LIMIT %(limit)s;

-- pending_backfills --
-- Open backfills after one with something to do: a run could be made, or there is none to be made any more. Left out are those
-- with as many runs under way as may be, and those that are known to wait and have no reason yet to go on.
SELECT b.backfill_id FROM backfill b JOIN task t USING (task_id)
     CROSS JOIN LATERAL (SELECT coalesce(t.spec ->> 'concurrencyPolicy', 'Allow') <> 'Allow' AS exclusive) x
WHERE b.finished_at IS NULL AND b.backfill_id > %(after)s
  AND (t.deleted_at IS NOT NULL
       OR (CASE b.waiting WHEN 'NotReady' THEN t.revision IS NOT NULL
                          WHEN 'StillRunning' THEN NOT x.exclusive OR NOT EXISTS (
                              SELECT FROM active_run a WHERE a.task_id = t.task_id
                              AND (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = a.run_id))
                          ELSE true END
           AND (SELECT count(*) FROM backfill_run n WHERE n.backfill_id = b.backfill_id
                AND (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = n.run_id))
               < CASE WHEN x.exclusive THEN 1 ELSE b.max_active END))
ORDER BY b.backfill_id
LIMIT %(limit)s;

-- lock_backfill --
-- An open backfill, locked until the transaction ends, unless somebody else has it.
SELECT b.backfill_id, b.task_id, b.schedule_key, b.to_at, b.evaluated_at, b.max_active, b.waiting, t.deleted_at IS NOT NULL AS deleted
FROM backfill b JOIN task t USING (task_id)
WHERE b.backfill_id = %(backfill_id)s AND b.finished_at IS NULL
FOR UPDATE OF b SKIP LOCKED;

-- lock_backfilled_task --
-- The task of a backfill, locked against its own clock unless somebody else has it, with what a run of it is made of. Whether one
-- is under way is for a statement of its own, which sees what was committed while this one looked for the lock.
SELECT t.task_id, t.namespace, t.name, t.spec, t.params, t.anchor, t.revision, c.schedule_key, t.creator_id,
       (SELECT i.identity FROM creator i WHERE i.creator_id = t.creator_id) AS creator, t.queue, now() AS now, t.keys
FROM task t JOIN task_clock c USING (task_id)
WHERE t.task_id = %(task_id)s AND t.deleted_at IS NULL
FOR UPDATE OF c SKIP LOCKED;

-- forget_ended_backfill_runs --
-- Runs of a backfill that have ended no longer count.
DELETE FROM backfill_run x
WHERE x.backfill_id = %(backfill_id)s AND (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = x.run_id) IS NOT TRUE;

-- count_backfill_runs --
-- How many runs of a backfill are under way.
SELECT count(*) FROM backfill_run WHERE backfill_id = %(backfill_id)s;

-- make_up_fires --
-- The ledger of what is made up for: a time without a line gets one, a skipped one has fired after all. What has fired stays; only
-- what this returns may get a run.
INSERT INTO fire AS f (task_id, scheduled_at, outcome, run_id, backfill_id)
SELECT %(task_id)s, x.scheduled_at, 'Fired', x.run_id, %(backfill_id)s
FROM unnest(%(times)b::timestamptz[], %(run_ids)b::uuid[]) AS x (scheduled_at, run_id)
ON CONFLICT (task_id, scheduled_at) DO UPDATE
    SET outcome = excluded.outcome, reason = NULL, run_id = excluded.run_id, decided_at = now(), backfill_id = excluded.backfill_id
    WHERE f.outcome = 'Skipped'
RETURNING f.run_id;

-- add_backfill_runs --
-- Runs that a backfill has made.
INSERT INTO backfill_run (run_id, backfill_id) SELECT x.run_id, %(backfill_id)s FROM unnest(%(run_ids)b::uuid[]) AS x (run_id);

-- advance_backfill --
-- Each nominal time of the window up to evaluated_at has been dealt with.
UPDATE backfill SET evaluated_at = %(evaluated_at)s, made = made + %(made)s WHERE backfill_id = %(backfill_id)s;

-- hold_backfill --
-- Why no run can be made for now; NULL: one can.
UPDATE backfill SET waiting = %(waiting)s WHERE backfill_id = %(backfill_id)s;

-- finish_backfill --
-- No more runs are made. Returns nothing if that was so already.
UPDATE backfill SET finished_at = now(), reason = %(reason)s, waiting = NULL
WHERE backfill_id = %(backfill_id)s AND finished_at IS NULL
RETURNING backfill_id;

-- forget_backfills --
-- Backfills that were over long ago; what they fired stays in the ledger.
DELETE FROM backfill WHERE finished_at < now() - make_interval(days => %(days)s);
