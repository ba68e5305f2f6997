-- take_turns --
-- New runs of tasks that allow only one at a time, and which need not wait.
INSERT INTO active_run (run_id, task_id) SELECT * FROM unnest(%(run_ids)b::uuid[], %(task_ids)b::bigint[]);

-- track_turns --
-- Unfinished runs of tasks that from now on allow only one at a time; locked, so that none ends unnoticed meanwhile, and in the order
-- of their keys, as everywhere. Those that wait for their turn have none.
INSERT INTO active_run (run_id, task_id)
SELECT r.run_id, r.task_id FROM live_work w JOIN run r USING (run_id)
WHERE r.task_id = ANY(%(task_ids)b) AND r.finished_at IS NULL AND NOT EXISTS (SELECT FROM queued_work q WHERE q.run_id = r.run_id)
ORDER BY r.run_id
FOR NO KEY UPDATE OF r
ON CONFLICT DO NOTHING;

-- wait_for_turns --
-- Runs that wait for their turn.
INSERT INTO queued_work (task_id, urgency, run_id, due_at)
SELECT x.task_id, 9 - x.priority, x.run_id, coalesce(x.start_at, now())
FROM unnest(%(task_ids)b::bigint[], %(priorities)b::smallint[], %(run_ids)b::uuid[], %(starts)b::timestamptz[])
     WITH ORDINALITY AS x (task_id, priority, run_id, start_at, place)
ORDER BY place;

-- pass_turns --
-- These runs have ended, and their tasks' turns pass on, as do those of the tasks named, whose clocks the caller has locked: to the
-- first run that waits if none is under way, to all where the task allows them all by now. Nobody else may pass on a turn, so no
-- task has two. A run that is just being queued by a transaction is missed here; stalled_turns finds it. Returns how many got one.
WITH ended AS (
    DELETE FROM active_run WHERE run_id = ANY(%(run_ids)b) RETURNING task_id
), free AS (
    SELECT t.task_id, coalesce(t.spec ->> 'concurrencyPolicy', 'Allow') = 'Allow' AS all_at_once
    FROM task t WHERE t.task_id IN (SELECT task_id FROM ended UNION SELECT unnest(%(task_ids)b::bigint[]))
), next AS (
    SELECT q.id FROM free CROSS JOIN LATERAL (
        SELECT id FROM queued_work WHERE queued_work.task_id = free.task_id ORDER BY urgency, id
        LIMIT CASE WHEN free.all_at_once THEN NULL ELSE 1 END FOR UPDATE SKIP LOCKED
    ) q
    WHERE free.all_at_once
       OR NOT EXISTS (SELECT FROM active_run a WHERE a.task_id = free.task_id AND a.run_id <> ALL(%(run_ids)b))
), taken AS (
    DELETE FROM queued_work WHERE id = ANY(ARRAY(SELECT id FROM next))
    RETURNING task_id, queue, urgency, due_at, attempt, run_id, started_at
), turn AS (
    INSERT INTO active_run (run_id, task_id) SELECT run_id, task_id FROM taken
), now_due AS (
    INSERT INTO due_work (queue, urgency, due_at, attempt, run_id, started_at)
    SELECT queue, urgency, now(), attempt, run_id, started_at FROM taken WHERE due_at <= now() RETURNING queue
), later AS (
    INSERT INTO delayed_work (queue, urgency, due_at, attempt, run_id, started_at)
    SELECT queue, urgency, due_at, attempt, run_id, started_at FROM taken WHERE due_at > now() RETURNING queue
)
SELECT (SELECT count(*) FROM taken), CASE WHEN EXISTS (SELECT FROM now_due) THEN pg_notify('ordinaut_work', '0')::text END,
       CASE WHEN EXISTS (SELECT FROM later) THEN pg_notify('ordinaut_clock', '')::text END;

-- stalled_turns --
-- Tasks with waiting runs of which one could go on, their clocks locked: none is under way, or the task allows them all by now. A run
-- that is gone, with its day's history or ended by somebody who knows no turns, is not under way. The tasks are found by jumping
-- from one to the next in the index, however many runs of each wait; LIMIT keeps the planner from reading the runs of all others.
WITH RECURSIVE waiting AS (
    (SELECT task_id FROM queued_work ORDER BY task_id LIMIT 1)
    UNION ALL
    SELECT (SELECT q.task_id FROM queued_work q WHERE q.task_id > w.task_id ORDER BY q.task_id LIMIT 1) FROM waiting w WHERE w.task_id IS NOT NULL
)
SELECT c.task_id FROM waiting JOIN task_clock c USING (task_id) JOIN task t USING (task_id)
WHERE (SELECT a.run_id FROM active_run a WHERE a.task_id = c.task_id
       AND (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = a.run_id) LIMIT 1) IS NULL
   OR coalesce(t.spec ->> 'concurrencyPolicy', 'Allow') = 'Allow'
ORDER BY c.task_id LIMIT %(limit)s
FOR UPDATE OF c SKIP LOCKED;

-- forget_ended_turns --
-- Turns of these tasks that nobody will pass on: their runs are gone, or have ended without that.
DELETE FROM active_run a
WHERE a.task_id = ANY(%(task_ids)b) AND (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = a.run_id) IS NOT TRUE;

-- turns_of_tasks --
-- Whether a run has the turn of each task, and how many wait for it. Asked in a statement of its own once the clocks are locked: the
-- one that locks them may have waited, and does not see what was committed meanwhile. Whether a run has ended is asked of one run
-- at a time: as a join, the planner reads all runs of the day for each task.
SELECT x.task_id,
       EXISTS (SELECT FROM active_run a WHERE a.task_id = x.task_id
               AND (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = a.run_id)),
       (SELECT count(*) FROM queued_work q WHERE q.task_id = x.task_id)
FROM unnest(%(task_ids)b::bigint[]) AS x (task_id);

-- runs_in_turn --
-- The unfinished runs of tasks that allow only one, with those that wait for their turn.
SELECT run_id, task_id FROM active_run WHERE task_id = ANY(%(task_ids)b)
UNION SELECT run_id, task_id FROM queued_work WHERE task_id = ANY(%(task_ids)b) ORDER BY run_id;

-- forget_waiting --
-- Runs that ended while they waited for their turn.
DELETE FROM queued_work WHERE run_id = ANY(%(run_ids)b);
