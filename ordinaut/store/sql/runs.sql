-- insert_runs --
-- New runs, pending, or waiting for the reason given. What triggered them is named by its place among the events.
INSERT INTO run (run_id, namespace, task_id, revision, trigger, scheduled_at, priority, params, retry_of, phase, reason, hops, event)
SELECT x.run_id, x.namespace, x.task_id, x.revision, %(trigger)s, x.scheduled_at, x.priority, x.params::jsonb, x.retry_of,
       CASE WHEN x.waits IS NULL THEN 'Pending' ELSE 'Waiting' END, x.waits, x.hops, (%(events)b::text[])[x.event]::json
FROM unnest(%(run_ids)b::uuid[], %(namespaces)b::text[], %(task_ids)b::bigint[], %(revisions)b::bytea[],
            %(scheduled)b::timestamptz[], %(priorities)b::smallint[], %(params)b::text[], %(retries)b::uuid[],
            %(waits)b::text[], %(hops)b::smallint[], %(event_places)b::int[])
     AS x (run_id, namespace, task_id, revision, scheduled_at, priority, params, retry_of, waits, hops, event);

-- copy_steps --
-- What a retry need not do again: the first steps of the old run, up to one that did not succeed.
INSERT INTO step (run_id, seq, idx, step_id, phase, attempt, started_at, finished_at, output, error, tool_digest)
SELECT %(to_run)s, seq, idx, step_id, phase, attempt, started_at, finished_at, output, error, tool_digest
FROM step WHERE run_id = %(from_run)s
  AND seq < coalesce((SELECT min(seq) FROM step WHERE run_id = %(from_run)s AND phase NOT IN ('Succeeded', 'Skipped')), 32767);

-- enqueue --
-- Make runs claimable.
INSERT INTO due_work (queue, urgency, attempt, run_id, started_at, due_at, lane)
SELECT x.queue, 9 - x.priority, 1, x.run_id, NULL, now(), hashtext(x.namespace)
FROM unnest(%(run_ids)b::uuid[], %(queues)b::smallint[], %(priorities)b::smallint[], %(namespaces)b::text[]) AS x (run_id, queue, priority, namespace);

-- enqueue_later --
-- Runs that start a little later.
INSERT INTO delayed_work (queue, urgency, run_id, due_at, keys)
SELECT x.queue, 9 - x.priority, x.run_id, x.start_at, x.keys::jsonb
FROM unnest(%(queues)b::smallint[], %(priorities)b::smallint[], %(run_ids)b::uuid[], %(starts)b::timestamptz[], %(keys)b::text[])
     AS x (queue, priority, run_id, start_at, keys);

-- notify_work --
-- Wake the workers of these queues: one notification of each in a transaction.
SELECT pg_notify('ordinaut_work', queue::text) FROM (SELECT DISTINCT unnest(%(queues)b::smallint[])) AS x (queue);

-- finish_runs --
-- End runs from outside their worker that have not ended, or if wanted are parked; returns those.
UPDATE run r SET phase = %(phase)s, reason = %(reason)s, error = %(error)s, finished_at = now(),
       started_at = coalesce(r.started_at, %(started)s, (SELECT w.started_at FROM leased_work w WHERE w.run_id = r.run_id))
FROM (SELECT run_id FROM run WHERE run_id = ANY(%(run_ids)b) ORDER BY run_id FOR NO KEY UPDATE) AS held
WHERE r.run_id = held.run_id AND (r.finished_at IS NULL OR %(parked)s AND r.phase = 'Parked')
RETURNING r.run_id, r.namespace, r.task_id, (SELECT t.name FROM task t WHERE t.task_id = r.task_id) AS task, r.trigger, r.attempt,
          coalesce(r.started_at, r.created_at) AS began, r.finished_at AS ended;

-- unpark_run --
-- A parked run is pending again, or waits for the reason given. It has begun, even if an older release did not write down when.
UPDATE run SET phase = CASE WHEN %(waits)s::text IS NULL THEN 'Pending' ELSE 'Waiting' END, reason = %(waits)s, error = NULL,
       finished_at = NULL, attempt = 1, started_at = coalesce(started_at, created_at)
WHERE run_id = %(run_id)s AND phase = 'Parked';

-- unpark_steps --
-- Release 0.4 and before cancelled a step that waited for its retry when its run was parked; it is done from the beginning.
DELETE FROM step WHERE run_id = %(run_id)s AND phase = 'Cancelled';

-- steps_under_way --
-- The first step without a result of each run, as far as there is one.
SELECT run_id, id FROM (
    SELECT r.run_id, p.body -> 'pipeline' -> 'steps'
           -> (SELECT count(DISTINCT s.seq) FROM step s WHERE s.run_id = r.run_id AND s.finished_at IS NOT NULL)::int ->> 'id' AS id
    FROM unnest(%(run_ids)b::uuid[]) AS x (run_id) JOIN run r USING (run_id) JOIN pipeline_revision p ON p.digest = r.revision
) step WHERE id IS NOT NULL;

-- finish_waiting_steps --
-- A run that ended while a step waited for its retry ends that step too.
UPDATE step SET phase = %(phase)s, finished_at = now() WHERE run_id = ANY(%(run_ids)b) AND finished_at IS NULL;

-- forget_delayed --
-- Runs that ended while they waited need not be woken.
DELETE FROM delayed_work WHERE run_id = ANY(%(run_ids)b);

-- notify_cancel --
-- Tell the workers that runs they may hold have ended; their heartbeat is the back-stop.
SELECT pg_notify('ordinaut_cancel', run_id::text) FROM unnest(%(run_ids)b::uuid[]) AS x (run_id);

-- unfinished_runs_of --
-- All runs of these tasks that have not ended.
SELECT r.run_id FROM live_work w JOIN run r USING (run_id) WHERE r.task_id = ANY(%(task_ids)b) AND r.finished_at IS NULL
ORDER BY r.run_id;

-- runs_of_deleted_tasks --
-- Runs that events have made of tasks while these were being deleted: neither saw the other.
SELECT r.run_id, t.task_id, t.name FROM task t JOIN run r ON r.task_id = t.task_id AND r.run_id >= uuid7_floor(t.deleted_at - interval '1 minute')
WHERE t.deleted_at > now() - interval '10 minutes' AND r.trigger = 'event' AND r.finished_at IS NULL
ORDER BY r.run_id LIMIT %(limit)s;

-- run_names --
-- Whose runs these are.
SELECT r.run_id, r.namespace, t.name, r.task_id FROM unnest(%(run_ids)b::uuid[]) AS x (run_id)
JOIN run r USING (run_id) JOIN task t USING (task_id);

-- get_run --
-- One run; `phase` says Running while a lease holds it, and then it waits for no reason any more. One that has waited for its turn or
-- a time may wait for its keys by now.
SELECT r.run_id, r.namespace, t.name AS task, r.task_id, r.trigger, r.scheduled_at, r.priority,
       CASE WHEN r.finished_at IS NULL AND w.run_id IS NOT NULL THEN 'Running' ELSE r.phase END AS phase,
       r.attempt, r.created_at, coalesce(r.started_at, w.started_at) AS started_at, r.finished_at,
       r.params, r.output, r.event, r.hops, CASE WHEN r.finished_at IS NULL AND w.run_id IS NOT NULL THEN NULL
            WHEN r.phase = 'Waiting' AND EXISTS (SELECT FROM keyed_work k WHERE k.run_id = r.run_id) THEN 'ConcurrencyKey' ELSE r.reason END AS reason, r.error, encode(r.revision, 'hex') AS revision, w.worker, r.retry_of
FROM run r JOIN task t USING (task_id)
LEFT JOIN leased_work w ON w.run_id = r.run_id
WHERE r.run_id = %(run_id)s AND r.namespace = %(namespace)s;

-- list_runs --
-- Runs of a namespace, newest first, after a cursor, without their outputs; optionally of one task name, phase, trigger or
-- time of creation. The bounds are always there, so that partitions beyond them are not looked at under any plan.
SELECT r.run_id, r.namespace, t.name AS task, r.task_id, r.trigger, r.scheduled_at, r.priority,
       CASE WHEN r.finished_at IS NULL AND w.run_id IS NOT NULL THEN 'Running' ELSE r.phase END AS phase,
       r.attempt, r.created_at, coalesce(r.started_at, w.started_at) AS started_at, r.finished_at,
       r.params, NULL::jsonb AS output, NULL::json AS event, r.hops, CASE WHEN r.finished_at IS NULL AND w.run_id IS NOT NULL THEN NULL
            WHEN r.phase = 'Waiting' AND EXISTS (SELECT FROM keyed_work k WHERE k.run_id = r.run_id) THEN 'ConcurrencyKey' ELSE r.reason END AS reason, r.error, encode(r.revision, 'hex') AS revision, w.worker, r.retry_of
FROM run r JOIN task t USING (task_id) LEFT JOIN leased_work w ON w.run_id = r.run_id
WHERE r.namespace = %(namespace)s
  AND r.run_id < coalesce(%(before)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
  AND r.run_id >= uuid7_floor(greatest(coalesce(%(created_after)s::timestamptz, 'epoch'), 'epoch'))
  AND r.run_id < uuid7_floor(greatest(coalesce(%(created_before)s::timestamptz, '9999-12-31 00:00:00+00'), 'epoch'))
  AND (%(task)s::text IS NULL OR r.task_id IN (SELECT task_id FROM task WHERE namespace = %(namespace)s AND name = %(task)s))
  AND (%(phase)s::text IS NULL
       OR CASE WHEN r.finished_at IS NULL AND w.run_id IS NOT NULL THEN 'Running' ELSE r.phase END = %(phase)s)
  AND (%(trigger)s::text IS NULL OR r.trigger = %(trigger)s)
ORDER BY r.run_id DESC
LIMIT %(limit)s;

-- list_steps --
-- The steps of a run that have a row, in their order.
SELECT seq, idx, step_id, phase, attempt, started_at, finished_at, output, error
FROM step WHERE run_id = %(run_id)s ORDER BY seq, idx;

-- list_fires --
-- The ledger of a task, newest first, before a cursor.
SELECT f.scheduled_at, f.outcome, f.reason, f.run_id, f.decided_at, f.backfill_id
FROM fire f JOIN task t USING (task_id)
WHERE t.namespace = %(namespace)s AND t.name = %(name)s AND t.deleted_at IS NULL
  AND (%(before)s::timestamptz IS NULL OR f.scheduled_at < %(before)s)
ORDER BY f.scheduled_at DESC
LIMIT %(limit)s;
