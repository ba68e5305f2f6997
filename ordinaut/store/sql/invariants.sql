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
-- that waits, for a time, its turn or a key, leaves at once, and one that its worker ended is nowhere. Of queue and delay the
-- next in line are looked at.
-- Runs are looked up by their keys, here and below: LIMIT and OFFSET keep the planner from a join that reads all of history.
SELECT r.run_id FROM (
    (SELECT run_id, 'queue' AS place FROM due_work ORDER BY queue, urgency, lane, due_at, id LIMIT %(looked_at)s)
    UNION ALL (SELECT run_id, 'delay' FROM delayed_work ORDER BY due_at LIMIT %(looked_at)s)
    UNION ALL (SELECT run_id, 'turn' FROM queued_work ORDER BY task_id, urgency, id LIMIT %(looked_at)s)
    UNION ALL (SELECT run_id, 'key' FROM keyed_work ORDER BY task_id, contest, urgency, id LIMIT %(looked_at)s)
    UNION ALL (SELECT run_id, 'slot' FROM held_key ORDER BY run_id LIMIT %(looked_at)s)
    UNION ALL (SELECT run_id, 'lease' FROM leased_work LIMIT %(looked_at)s)
) w
CROSS JOIN LATERAL (SELECT run_id, phase, finished_at FROM run WHERE run.run_id = w.run_id LIMIT 1) r
WHERE r.finished_at IS NOT NULL
  AND (w.place IN ('delay', 'turn', 'key', 'slot') OR w.place = 'queue' AND r.phase <> 'Cancelled' OR w.place = 'lease' AND r.finished_at < now() - interval '65 minutes')
ORDER BY r.run_id LIMIT %(limit)s;

-- doubled_runs --
-- Runs that two leases hold, or a lease and the queue: two workers would carry them out. So they would if a run still waited
-- for its turn or a key elsewhere. Delays, turns and keys have keys against being there twice.
SELECT run_id FROM (
    SELECT run_id FROM leased_work GROUP BY run_id HAVING count(*) > 1
    UNION SELECT l.run_id FROM leased_work l JOIN due_work USING (run_id)
    UNION SELECT l.run_id FROM leased_work l JOIN delayed_work USING (run_id)
    UNION SELECT q.run_id FROM queued_work q JOIN leased_work USING (run_id)
    UNION SELECT q.run_id FROM queued_work q JOIN due_work USING (run_id)
    UNION SELECT q.run_id FROM queued_work q JOIN delayed_work USING (run_id)
    UNION SELECT k.run_id FROM keyed_work k JOIN leased_work USING (run_id)
    UNION SELECT k.run_id FROM keyed_work k JOIN due_work USING (run_id)
    UNION SELECT k.run_id FROM keyed_work k JOIN delayed_work USING (run_id)
    UNION SELECT k.run_id FROM keyed_work k JOIN queued_work USING (run_id)
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

-- events_without_run --
-- Lines of the ledger of events that say Fired and whose run does not exist: as fires_without_run, of tasks that have or had triggers.
WITH tasks AS (
    SELECT task_id FROM subscription WHERE task_id > %(after)s ORDER BY task_id LIMIT %(tasks)s
), missing AS (
    SELECT DISTINCT f.run_id FROM tasks CROSS JOIN LATERAL (
        SELECT run_id, outcome, decided_at FROM event_fire e WHERE e.task_id = tasks.task_id ORDER BY position DESC, place DESC LIMIT %(lines)s
    ) f
    WHERE f.outcome = 'Fired' AND f.decided_at > now() - interval '1 day'
      AND NOT EXISTS (SELECT FROM run WHERE run.run_id = f.run_id OFFSET 0)
)
SELECT ARRAY(SELECT run_id FROM missing ORDER BY run_id LIMIT %(limit)s),
       CASE WHEN (SELECT count(*) FROM tasks) = %(tasks)s THEN (SELECT max(task_id) FROM tasks) END;

-- events_not_gathered --
-- Events of which the ledger says that they are gathered, and which no trigger gathers: nobody will come to them. Looked at are the
-- latest events of some tasks. Also returned is how far the look has come; NULL at its end.
WITH tasks AS (
    SELECT task_id FROM subscription WHERE task_id > %(after)s ORDER BY task_id LIMIT %(tasks)s
), lost AS (
    SELECT f.event_key FROM tasks CROSS JOIN LATERAL (
        SELECT * FROM event_fire e WHERE e.task_id = tasks.task_id ORDER BY position DESC, place DESC LIMIT %(lines)s
    ) f
    WHERE f.outcome = 'Gathered'
      AND NOT EXISTS (SELECT FROM gathering g JOIN gathered_event e USING (task_id, trigger)
                      WHERE e.task_id = f.task_id AND e.trigger = f.trigger AND e.position = f.position AND e.place = f.place)
)
SELECT ARRAY(SELECT event_key FROM lost ORDER BY event_key LIMIT %(limit)s),
       CASE WHEN (SELECT count(*) FROM tasks) = %(tasks)s THEN (SELECT max(task_id) FROM tasks) END;

-- runs_without_event --
-- Runs that an event made, and of which the ledger of events knows nothing: that event may make another one. Looked at are the newest
-- of them, as far as they were made within a day: the ledger is kept for longer. Of a batch the last event is looked up.
WITH newest AS (
    SELECT run_id, task_id, trigger, event FROM run WHERE run_id >= uuid7_floor(now() - interval '1 day') ORDER BY run_id DESC LIMIT %(newest)s
), made AS (
    SELECT run_id, task_id, CASE json_typeof(event) WHEN 'array' THEN event -> -1 ELSE event END AS event
    FROM newest WHERE trigger = 'event' LIMIT %(read)s
)
SELECT run_id FROM made WHERE NOT EXISTS (
    SELECT FROM event_fire f
    WHERE f.task_id = made.task_id AND f.run_id = made.run_id
      AND f.event_key = encode(substr(sha256(convert_to((made.event ->> 'source') || E'\n' || (made.event ->> 'id'), 'UTF8')), 1, 16), 'hex')::uuid
    OFFSET 0)
ORDER BY run_id LIMIT %(limit)s;

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

-- runs_without_room --
-- The first runs of contests for concurrency keys that could all have a slot: admission has forgotten them, unless it is just at it. The
-- contests are found by jumping from one to the next in the index, so many of them.
WITH RECURSIVE contest AS (
    (SELECT task_id, contest, 1 AS place FROM keyed_work ORDER BY task_id, contest LIMIT 1)
    UNION ALL
    SELECT next.task_id, next.contest, c.place + 1 FROM contest c CROSS JOIN LATERAL (
        SELECT w.task_id, w.contest FROM keyed_work w WHERE (w.task_id, w.contest) > (c.task_id, c.contest) ORDER BY w.task_id, w.contest LIMIT 1
    ) next WHERE c.place < %(looked_at)s
)
SELECT first.run_id FROM contest c
CROSS JOIN LATERAL (
    SELECT w.run_id, w.namespace, w.keys FROM keyed_work w WHERE w.task_id = c.task_id AND w.contest = c.contest ORDER BY w.urgency, w.id LIMIT 1
) first
JOIN task t ON t.task_id = c.task_id
WHERE NOT EXISTS (
    SELECT FROM jsonb_to_recordset(first.keys) AS k (key text, source text)
    JOIN LATERAL jsonb_array_elements(t.keys) e ON e ->> 'source' = k.source
    WHERE (SELECT count(*) FROM held_key h WHERE h.namespace = first.namespace AND h.key = k.key) >= (e ->> 'limit')::int)
ORDER BY first.run_id LIMIT %(limit)s;

-- slots_beyond_limit --
-- Runs that hold a slot of a concurrency key that they were given while as many runs as their task's limit held it: each counts those that
-- have held the key for longer and still do. Slots from before the task was last edited, or from while it was, do not count: its limit
-- may have been another.
SELECT x.run_id FROM (
    SELECT h.run_id, h.source, h.held_since, h.task_id, rank() OVER (PARTITION BY h.namespace, h.key ORDER BY h.id) AS place FROM held_key h
) x
CROSS JOIN LATERAL (SELECT t.keys, t.updated_at FROM task t WHERE t.task_id = x.task_id LIMIT 1) t
WHERE x.held_since > t.updated_at + interval '1 minute'
  AND x.place > (SELECT min((e ->> 'limit')::int) FROM jsonb_array_elements(t.keys) e WHERE e ->> 'source' = x.source)
ORDER BY x.run_id LIMIT %(limit)s;
