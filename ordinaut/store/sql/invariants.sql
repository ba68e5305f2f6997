-- lost_runs --
-- Runs that have not ended and are in no queue, delay or lease, in one snapshot. Looked at are the newest runs, the next ones
-- of a sweep over all of history, and suspects; none is younger than a minute, since a transaction that makes runs may take
-- some time. Also returned is how far the sweep has come; NULL at its end.
WITH newest AS (
    SELECT run_id, finished_at FROM run WHERE run_id < uuid7_floor(now() - interval '1 minute')
    ORDER BY run_id DESC LIMIT %(newest)s
), swept AS (
    SELECT run_id, finished_at FROM run WHERE run_id > %(after)s AND run_id < uuid7_floor(now() - interval '1 minute')
    ORDER BY run_id LIMIT %(swept)s
), unended AS MATERIALIZED (
    SELECT run_id FROM newest WHERE finished_at IS NULL
    UNION SELECT run_id FROM swept WHERE finished_at IS NULL
    UNION SELECT run_id FROM run WHERE run_id = ANY(%(suspects)b) AND finished_at IS NULL
), found AS (
    SELECT run_id FROM unended EXCEPT (SELECT w.run_id FROM live_work w JOIN unended USING (run_id))
)
SELECT ARRAY(SELECT run_id FROM found ORDER BY run_id LIMIT %(limit)s),
       CASE WHEN (SELECT count(*) FROM swept) = %(swept)s THEN (SELECT run_id FROM swept ORDER BY run_id DESC LIMIT 1) END;

-- ended_runs_kept --
-- Runs that have ended and are kept as work all the same. One that somebody ended may stay in the queue until a worker comes
-- to it, and under a lease until its worker is told, or, if that has died, until the longest lease of an hour is over; one
-- that waits, for a time or for its turn, leaves at once, and one that its worker ended is nowhere. Of queue and delay the
-- next in line are looked at.
-- Runs are looked up by their keys, here and below: LIMIT and OFFSET keep the planner from a join that reads all of history.
SELECT r.run_id FROM (
    (SELECT run_id, 'queue' AS place FROM due_work ORDER BY queue, urgency, due_at, id LIMIT %(looked_at)s)
    UNION ALL (SELECT run_id, 'delay' FROM delayed_work ORDER BY due_at LIMIT %(looked_at)s)
    UNION ALL (SELECT run_id, 'turn' FROM queued_work ORDER BY task_id, urgency, id LIMIT %(looked_at)s)
    UNION ALL (SELECT run_id, 'lease' FROM leased_work LIMIT %(looked_at)s)
) w
CROSS JOIN LATERAL (SELECT run_id, phase, finished_at FROM run WHERE run.run_id = w.run_id LIMIT 1) r
WHERE r.finished_at IS NOT NULL
  AND (w.place IN ('delay', 'turn') OR w.place = 'queue' AND r.phase <> 'Cancelled' OR w.place = 'lease' AND r.finished_at < now() - interval '65 minutes')
ORDER BY r.run_id LIMIT %(limit)s;

-- doubled_runs --
-- Runs that two leases hold, or a lease and the queue: two workers would carry them out. So they would if a run still waited
-- for its turn elsewhere. Delays and turns have keys against being there twice.
SELECT run_id FROM (
    SELECT run_id FROM leased_work GROUP BY run_id HAVING count(*) > 1
    UNION SELECT l.run_id FROM leased_work l JOIN due_work USING (run_id)
    UNION SELECT l.run_id FROM leased_work l JOIN delayed_work USING (run_id)
    UNION SELECT q.run_id FROM queued_work q JOIN leased_work USING (run_id)
    UNION SELECT q.run_id FROM queued_work q JOIN due_work USING (run_id)
    UNION SELECT q.run_id FROM queued_work q JOIN delayed_work USING (run_id)
) twice
ORDER BY run_id LIMIT %(limit)s;

-- fires_without_run --
-- Lines of the ledger that say Fired and whose run does not exist. Looked at are the latest times of some tasks, as far as they
-- were decided within a day: runs are kept for longer. Also returned is how far the look has come; NULL at its end.
WITH tasks AS (
    SELECT task_id FROM task_clock WHERE task_id > %(after)s ORDER BY task_id LIMIT %(tasks)s
), missing AS (
    SELECT f.run_id FROM tasks CROSS JOIN LATERAL (
        SELECT run_id, outcome, decided_at FROM fire WHERE fire.task_id = tasks.task_id ORDER BY scheduled_at DESC LIMIT %(times)s
    ) f
    WHERE f.outcome = 'Fired' AND f.decided_at > now() - interval '1 day'
      AND NOT EXISTS (SELECT FROM run WHERE run.run_id = f.run_id OFFSET 0)
)
SELECT ARRAY(SELECT run_id FROM missing ORDER BY run_id LIMIT %(limit)s),
       CASE WHEN (SELECT count(*) FROM tasks) = %(tasks)s THEN (SELECT max(task_id) FROM tasks) END;

-- overlapping_runs --
-- Running runs of tasks with concurrencyPolicy Forbid or Queue beside another one of the same task. Runs that were made before the task
-- was last edited, or while it was, do not count: it may have allowed them.
SELECT run_id FROM (
    SELECT r.run_id, count(*) OVER (PARTITION BY r.task_id) AS together
    FROM leased_work w
    CROSS JOIN LATERAL (SELECT run_id, task_id, created_at, finished_at FROM run WHERE run.run_id = w.run_id LIMIT 1) r
    CROSS JOIN LATERAL (SELECT spec, updated_at FROM task WHERE task.task_id = r.task_id LIMIT 1) t
    WHERE r.finished_at IS NULL AND t.spec ->> 'concurrencyPolicy' IN ('Forbid', 'Queue') AND r.created_at > t.updated_at + interval '1 minute'
) running
WHERE together > 1
ORDER BY run_id LIMIT %(limit)s;

-- runs_without_turn --
-- The next run of each task in which runs wait for their turn while no unfinished run has it: nobody will wake them. The tasks
-- are found by jumping from one to the next in the index, however many runs of each wait.
WITH RECURSIVE waiting AS (
    (SELECT task_id FROM queued_work ORDER BY task_id LIMIT 1)
    UNION ALL
    SELECT (SELECT q.task_id FROM queued_work q WHERE q.task_id > w.task_id ORDER BY q.task_id LIMIT 1)
    FROM waiting w WHERE w.task_id IS NOT NULL
)
SELECT next.run_id FROM waiting
CROSS JOIN LATERAL (SELECT run_id FROM queued_work q WHERE q.task_id = waiting.task_id ORDER BY urgency, id LIMIT 1) next
WHERE NOT EXISTS (SELECT FROM active_run a WHERE a.task_id = waiting.task_id
                  AND (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = a.run_id))
ORDER BY next.run_id LIMIT %(limit)s;
