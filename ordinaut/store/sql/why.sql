-- one_snapshot --
-- Begins a transaction that only looks, and sees one moment throughout.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- task_surroundings --
-- What a task needs besides its own row: its queue, what of its Tools is missing or not valid, how many of its runs wait for their
-- turn (not counted to the end), and whether an operator is connected to this database.
SELECT q.name AS queue, t.pipeline_ref,
       ARRAY(SELECT used.name
             FROM unnest(CASE WHEN t.pipeline_ref IS NULL THEN t.tool_refs
                              ELSE (SELECT p.tool_refs FROM pipeline p WHERE p.namespace = t.namespace AND p.name = t.pipeline_ref) END) AS used (name)
             WHERE NOT EXISTS (SELECT FROM tool o WHERE o.namespace = t.namespace AND o.name = used.name AND o.invalid IS NULL)
             ORDER BY used.name) AS lacking_tools,
       (SELECT count(*) FROM (SELECT FROM queued_work w WHERE w.task_id = t.task_id LIMIT 1001) AS waiting)::int AS in_turn,
       EXISTS (SELECT FROM pg_stat_activity a
               WHERE a.datname = current_database() AND starts_with(a.application_name, 'ordinaut-operator')) AS operated
FROM task t JOIN queue q USING (queue) WHERE t.task_id = %(task_id)s;

-- operator_is_connected --
-- Whether an operator is connected to this database.
SELECT EXISTS (SELECT FROM pg_stat_activity a
               WHERE a.datname = current_database() AND starts_with(a.application_name, 'ordinaut-operator'));

-- runs_in_the_way --
-- Unfinished runs of a task: those that have its turn, and of its newest runs those that have not ended; without those that wait for
-- their turn. Whether a run has ended is asked of one run at a time: as a join, the planner reads all runs of the day.
SELECT r.run_id, (SELECT t.name FROM task t WHERE t.task_id = %(task_id)s) AS task, r.phase, r.reason,
       coalesce(l.started_at, r.started_at, r.created_at) AS since, l.worker
FROM (SELECT a.run_id FROM active_run a WHERE a.task_id = %(task_id)s
      UNION
      SELECT n.run_id FROM (SELECT run_id FROM run WHERE run.task_id = %(task_id)s ORDER BY run.run_id DESC LIMIT 50) n) x
CROSS JOIN LATERAL (
    SELECT run.run_id, run.phase, run.reason, run.started_at, run.created_at FROM run WHERE run.run_id = x.run_id AND run.finished_at IS NULL
) r
LEFT JOIN leased_work l ON l.run_id = r.run_id
WHERE NOT EXISTS (SELECT FROM queued_work w WHERE w.run_id = r.run_id)
ORDER BY l.run_id IS NULL, r.run_id LIMIT %(limit)s;

-- how_runs_stand --
-- Where these runs stand, and under whose lease they are.
SELECT r.run_id, t.name AS task, r.phase, r.reason, coalesce(l.started_at, r.started_at, r.created_at) AS since, l.worker
FROM unnest(%(run_ids)b::uuid[]) AS x (run_id) JOIN run r USING (run_id) JOIN task t USING (task_id)
LEFT JOIN leased_work l ON l.run_id = r.run_id;

-- workers_of_queue --
-- Live workers that take runs of a queue, and how many runs each holds, whoever they belong to.
SELECT w.name, w.slots, coalesce((SELECT sum(cardinality(l.items)) FROM work_lease l WHERE l.worker = w.name), 0)::int AS busy
FROM worker w
WHERE w.live_until > now() AND w.draining_at IS NULL AND w.queues && ARRAY[%(queue)s::text, '*']
ORDER BY w.name LIMIT 1000;

-- run_in_question --
-- A run without its params and output, and who holds it.
SELECT r.run_id, r.namespace, t.name AS task, r.task_id, r.trigger, r.scheduled_at, r.priority, r.attempt,
       CASE WHEN r.finished_at IS NULL AND l.worker IS NOT NULL THEN 'Running' ELSE r.phase END AS phase,
       r.created_at, coalesce(r.started_at, l.started_at, l.leased_at) AS started_at, r.finished_at, r.reason, left(r.error, 2000) AS error,
       r.revision, l.worker, l.attempt AS delivery, l.leased_at, l.leased_until, coalesce(q.name, 'default') AS queue,
       t.deleted_at IS NOT NULL AS task_deleted, t.ready AS task_ready, now() AS now
FROM run r JOIN task t USING (task_id)
LEFT JOIN LATERAL (
    SELECT w.worker, w.leased_at, w.leased_until, i.attempt, i.started_at, i.queue
    FROM work_lease w CROSS JOIN unnest(w.items) i WHERE i.run_id = r.run_id LIMIT 1
) l ON r.finished_at IS NULL
LEFT JOIN queue q ON q.queue = coalesce(CASE WHEN l.queue < 0 THEN -1 - l.queue ELSE l.queue END, t.queue)
WHERE r.run_id = %(run_id)s AND r.namespace = %(namespace)s;

-- steps_in_question --
-- What a run's pipeline has it do, in order: each step with what is known of it, without its output, and whether its Tool is there.
SELECT s.place::int - 1 AS seq, s.step ->> 'id' AS step_id, s.step ->> 'uses' AS uses,
       coalesce(s.step -> 'retryStrategy', tool.spec -> 'retryStrategy', revision.body -> 'task' -> 'retryStrategy') AS retry,
       tool.name IS NOT NULL AS tool_is_there, tool.invalid AS tool_invalid,
       done.phase, coalesce(done.attempt, 0) AS attempt, done.idx, done.started_at, done.finished_at, left(done.error, 2000) AS error
FROM pipeline_revision revision
CROSS JOIN LATERAL jsonb_array_elements(revision.body -> 'pipeline' -> 'steps') WITH ORDINALITY AS s (step, place)
LEFT JOIN tool ON tool.namespace = %(namespace)s AND tool.name = s.step ->> 'uses'
LEFT JOIN step done ON done.run_id = %(run_id)s AND done.seq = s.place - 1
WHERE revision.digest = %(revision)s
ORDER BY s.place, done.idx LIMIT 1000;

-- where_a_run_waits --
-- Where a run waits that is under no lease and not claimable: for a time, for its turn, or for its concurrency keys.
SELECT 'Time' AS what, d.due_at, 0 AS before FROM delayed_work d WHERE d.run_id = %(run_id)s
UNION ALL
SELECT 'Turn', q.due_at, (SELECT count(*) FROM (
    SELECT FROM queued_work w WHERE w.task_id = q.task_id AND (w.urgency, w.id) < (q.urgency, q.id) LIMIT 1001) AS others)::int
FROM queued_work q WHERE q.run_id = %(run_id)s
UNION ALL
SELECT 'Keys', now(), 0 FROM keyed_work k WHERE k.run_id = %(run_id)s;

-- place_in_queue --
-- Where a claimable run stands. No index of the queue names runs, so its flow is read from when the run was made, where most runs are, for
-- at most `most` rows. The flow may be in any queue that has work, as its task may have been moved: they are found by jumping from one
-- to the next in the index.
WITH RECURSIVE used AS (
    (SELECT queue FROM due_work ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT d.queue FROM due_work d WHERE d.queue > u.queue ORDER BY d.queue LIMIT 1) FROM used u WHERE u.queue IS NOT NULL
), flow AS (
    SELECT u.queue, l.lane FROM used u CROSS JOIN (VALUES (hashtext(%(namespace)s)), (0)) AS l (lane) WHERE u.queue IS NOT NULL
)
SELECT found.id, flow.queue, q.name AS queue_name, flow.lane, found.due_at, found.attempt
FROM flow CROSS JOIN LATERAL (
    SELECT x.id, x.due_at, x.attempt FROM (
        SELECT d.id, d.due_at, d.run_id, d.attempt FROM due_work d
        WHERE d.queue = flow.queue AND d.urgency = %(urgency)s AND d.lane = flow.lane AND d.due_at >= %(created_at)s
        ORDER BY d.due_at, d.id LIMIT %(most)s
    ) AS x WHERE x.run_id = %(run_id)s
) AS found
LEFT JOIN queue q ON q.queue = CASE WHEN flow.queue < 0 THEN -1 - flow.queue ELSE flow.queue END
LIMIT 1;

-- place_is_deep --
-- Whether place_in_queue has not read all of a flow that the run may be in.
WITH RECURSIVE used AS (
    (SELECT queue FROM due_work ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT d.queue FROM due_work d WHERE d.queue > u.queue ORDER BY d.queue LIMIT 1) FROM used u WHERE u.queue IS NOT NULL
)
SELECT EXISTS (
    SELECT FROM used u CROSS JOIN (VALUES (hashtext(%(namespace)s)), (0)) AS l (lane) CROSS JOIN LATERAL (
        SELECT FROM due_work d WHERE d.queue = u.queue AND d.urgency = %(urgency)s AND d.lane = l.lane AND d.due_at >= %(created_at)s
        ORDER BY d.due_at, d.id OFFSET %(most)s LIMIT 1
    ) AS more WHERE u.queue IS NOT NULL
);

-- ahead_in_flow --
-- How many claimable runs of its own flow come before a run, counted to `most`.
SELECT count(*)::int FROM (
    SELECT FROM due_work d WHERE d.queue = %(queue)s AND d.urgency = %(urgency)s AND d.lane = %(lane)s AND (d.due_at, d.id) < (%(due_at)s, %(id)s)
    ORDER BY d.due_at, d.id LIMIT %(most)s
) AS before;

-- ahead_in_queue --
-- How many claimable runs of other flows come before a run, each sum counted to `most`: all of flows that are more urgent by now, of
-- those that are as urgent as many as the run's own flow has up to it, since they are served in turns; and apart from them those of
-- less urgent flows of other lanes. The flows are found by jumping from one to the next in the index.
WITH RECURSIVE flow AS (
    SELECT u.urgency, first.lane, first.due_at FROM generate_series(0, 9) AS u (urgency) CROSS JOIN LATERAL (
        SELECT d.lane, d.due_at FROM due_work d WHERE d.queue = %(queue)s AND d.urgency = u.urgency ORDER BY d.lane, d.due_at, d.id LIMIT 1
    ) first
    UNION ALL
    SELECT flow.urgency, next.lane, next.due_at FROM flow CROSS JOIN LATERAL (
        SELECT d.lane, d.due_at FROM due_work d WHERE d.queue = %(queue)s AND d.urgency = flow.urgency AND d.lane > flow.lane
        ORDER BY d.lane, d.due_at, d.id LIMIT 1
    ) next
), aged AS (
    SELECT urgency, lane, greatest(0, urgency - floor(extract(epoch FROM now() - due_at) / %(level)s)) AS rank
    FROM (SELECT * FROM flow LIMIT %(flows)s) AS known
), own AS (
    SELECT rank FROM aged WHERE urgency = %(urgency)s AND lane = %(lane)s
), other AS (
    SELECT aged.urgency, aged.lane, aged.rank > own.rank AS is_less,
           CASE WHEN aged.rank = own.rank THEN least(%(own)s::int + 1, %(most)s) ELSE %(most)s END AS some
    FROM aged CROSS JOIN own
    WHERE (aged.urgency, aged.lane) <> (%(urgency)s, %(lane)s) AND (aged.rank <= own.rank OR aged.lane <> %(lane)s)
)
SELECT (SELECT count(*) FROM (SELECT FROM other CROSS JOIN LATERAL (
            SELECT FROM due_work d WHERE d.queue = %(queue)s AND d.urgency = other.urgency AND d.lane = other.lane
            ORDER BY d.due_at, d.id LIMIT other.some) w WHERE NOT other.is_less LIMIT %(most)s) AS sooner)::int,
       (SELECT count(*) FROM (SELECT FROM other CROSS JOIN LATERAL (
            SELECT FROM due_work d WHERE d.queue = %(queue)s AND d.urgency = other.urgency AND d.lane = other.lane
            ORDER BY d.due_at, d.id LIMIT other.some) w WHERE other.is_less LIMIT %(most)s) AS seldom)::int,
       (SELECT count(*) FROM aged) >= %(flows)s;
