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
INSERT INTO queued_work (task_id, queue, urgency, run_id, due_at, keys)
SELECT x.task_id, x.queue, 9 - x.priority, x.run_id, coalesce(x.start_at, now()), x.keys::jsonb
FROM unnest(%(task_ids)b::bigint[], %(queues)b::smallint[], %(priorities)b::smallint[], %(run_ids)b::uuid[], %(starts)b::timestamptz[],
            %(keys)b::text[]) WITH ORDINALITY AS x (task_id, queue, priority, run_id, start_at, keys, place)
ORDER BY place;

-- pass_turns --
-- These runs have ended: their turns pass on, and their slots of concurrency keys are free. So do the turns of the tasks named. Returns
-- how many runs got one.
SELECT pass_on(%(run_ids)b::uuid[], %(task_ids)b::bigint[]);

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
