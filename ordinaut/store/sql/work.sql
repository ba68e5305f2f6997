-- lease_work --
-- Take claimable work into a new lease, whose key is the fencing token. Work whose run has ended is dropped on the way;
-- it is returned without namespace, so that the caller knows whether it has reached the end of the queue.
WITH picked AS (
    DELETE FROM due_work WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM due_work
        WHERE queue = %(queue)s AND (urgency, due_at, id) > (%(after_urgency)s::smallint, %(after_due)s::timestamptz, %(after_id)s::bigint)
        ORDER BY queue, urgency, due_at, id
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    )) RETURNING id, queue, urgency, due_at, attempt, run_id, started_at
), held AS (
    SELECT p.id, p.queue, p.urgency, p.due_at, p.attempt, p.run_id, p.started_at,
           r.namespace, r.task_id, r.revision, r.trigger, r.scheduled_at, r.created_at, r.params
    FROM picked p LEFT JOIN run r ON r.run_id = p.run_id AND r.finished_at IS NULL
), lease AS (
    INSERT INTO work_lease (worker, leased_until, items)
    SELECT %(worker)s, now() + %(ttl)s::interval,
           array_agg(ROW(id, queue, urgency, due_at, attempt, run_id, started_at)::work_item)
    FROM held WHERE namespace IS NOT NULL HAVING count(*) > 0
    RETURNING lease_id, leased_at
)
SELECT lease.lease_id, lease.leased_at, held.id, held.queue, held.urgency, held.due_at, held.attempt, held.run_id,
       held.started_at, held.namespace, held.task_id, t.name AS task, held.revision, held.trigger, held.scheduled_at,
       held.created_at, held.params, held.run_id::text AS run
FROM held LEFT JOIN lease ON true LEFT JOIN task t USING (task_id)
ORDER BY held.urgency, held.due_at, held.id;

-- heartbeat --
-- Prolong leases; one that is not returned is lost.
UPDATE work_lease SET leased_until = now() + %(ttl)s::interval
WHERE lease_id = ANY(%(leases)b) AND worker = %(worker)s
RETURNING lease_id;

-- ended_runs --
-- Which of the runs that a worker holds have been ended by somebody else.
SELECT r.run_id FROM unnest(%(run_ids)b::uuid[]) AS x (run_id) JOIN run r USING (run_id) WHERE r.finished_at IS NOT NULL;

-- fence --
-- Lock the leases of a settle and return what they hold; the results of an item that is not returned must be dropped.
SELECT lease_id, ARRAY(SELECT item.id FROM unnest(items) item) FROM work_lease WHERE lease_id = ANY(%(leases)b)
ORDER BY lease_id FOR UPDATE;

-- lock_open_runs --
-- Lock the runs of a settle; one that is not returned has been ended by somebody else. Pass the keys sorted.
SELECT r.run_id FROM unnest(%(run_ids)b::uuid[]) AS x (run_id)
CROSS JOIN LATERAL (SELECT run_id FROM run WHERE run.run_id = x.run_id AND finished_at IS NULL FOR NO KEY UPDATE) r;

-- settle_steps --
-- Commit step results. A step that waits for a retry is overwritten by its next result, a final one never.
INSERT INTO step AS s (run_id, seq, idx, step_id, phase, attempt, started_at, finished_at, output, error, tool_digest)
SELECT x.run_id, x.seq, x.idx, x.step_id, x.phase, x.attempt,
       now() - x.started_ago * interval '1 microsecond',
       CASE WHEN x.phase <> 'Waiting' THEN now() - x.finished_ago * interval '1 microsecond' END,
       x.output::jsonb, x.error, x.tool_digest
FROM unnest(%(run_ids)b::uuid[], %(seqs)b::smallint[], %(idxs)b::int[], %(step_ids)b::text[], %(phases)b::text[],
            %(attempts)b::smallint[], %(started_ago)b::bigint[], %(finished_ago)b::bigint[], %(outputs)b::text[],
            %(errors)b::text[], %(tool_digests)b::bytea[])
     AS x (run_id, seq, idx, step_id, phase, attempt, started_ago, finished_ago, output, error, tool_digest)
ON CONFLICT (run_id, seq, idx) DO UPDATE SET
    phase = excluded.phase, attempt = excluded.attempt, started_at = excluded.started_at, finished_at = excluded.finished_at,
    output = excluded.output, error = excluded.error, tool_digest = excluded.tool_digest
WHERE s.finished_at IS NULL;

-- settle_runs --
-- Give runs their phase: final, or Waiting. The caller holds their locks.
UPDATE run r SET phase = x.phase, attempt = x.attempt, output = x.output::jsonb, reason = x.reason, error = x.error,
       started_at = coalesce(r.started_at, x.started_at),
       finished_at = CASE WHEN x.phase <> 'Waiting' THEN now() END
FROM unnest(%(run_ids)b::uuid[], %(phases)b::text[], %(attempts)b::smallint[], %(started)b::timestamptz[], %(outputs)b::text[],
            %(reasons)b::text[], %(errors)b::text[])
     AS x (run_id, phase, attempt, started_at, output, reason, error)
WHERE r.run_id = x.run_id;

-- drop_leases --
-- Leases with nothing left under way.
DELETE FROM work_lease WHERE lease_id = ANY(%(leases)b);

-- shrink_leases --
-- Take settled items out of leases that still hold others, so that the reaper never brings them back.
UPDATE work_lease SET items = ARRAY(SELECT item FROM unnest(items) item WHERE item.id <> ALL(%(items)b))
WHERE lease_id = ANY(%(leases)b);

-- delay_work --
-- Runs that wait, until their time comes.
INSERT INTO delayed_work (queue, urgency, due_at, attempt, run_id, started_at)
SELECT x.queue, x.urgency, now() + x.delay, x.attempt, x.run_id, x.started_at
FROM unnest(%(queues)b::smallint[], %(urgencies)b::smallint[], %(delays)b::interval[], %(attempts)b::smallint[],
            %(run_ids)b::uuid[], %(started)b::timestamptz[]) AS x (queue, urgency, delay, attempt, run_id, started_at);

-- requeue_work --
-- Give work back: released by a worker that drains, or brought back by the reaper.
INSERT INTO due_work (queue, urgency, due_at, attempt, run_id, started_at)
SELECT * FROM unnest(%(queues)b::smallint[], %(urgencies)b::smallint[], %(due)b::timestamptz[], %(attempts)b::smallint[],
                     %(run_ids)b::uuid[], %(started)b::timestamptz[]);

-- release_delayed --
-- Move delayed work whose time has come to the queue; returns how much.
WITH due AS (
    DELETE FROM delayed_work WHERE id = ANY(ARRAY(
        SELECT id FROM delayed_work WHERE due_at <= now() ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )) RETURNING queue, urgency, due_at, attempt, run_id, started_at
), moved AS (
    INSERT INTO due_work (queue, urgency, due_at, attempt, run_id, started_at) SELECT * FROM due RETURNING queue
)
SELECT count(*), CASE WHEN count(*) > 0 THEN pg_notify('ordinaut_work', '0')::text END FROM moved;

-- take_expired_leases --
-- Delete leases that ran out; exactly one of settle and reaper gets the row.
WITH expired AS (
    DELETE FROM work_lease WHERE lease_id = ANY(ARRAY(
        SELECT lease_id FROM work_lease WHERE leased_until < now() ORDER BY leased_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )) RETURNING lease_id, worker, leased_at, items
)
SELECT expired.lease_id, expired.worker, item.id, item.queue, item.urgency, item.due_at, item.attempt, item.run_id,
       coalesce(item.started_at, expired.leased_at) AS started_at
FROM expired CROSS JOIN unnest(expired.items) item;

-- queue_figures --
-- Depth and age of the claimable work, how much waits for a time, how much is leased, and how much waits for its turn.
SELECT (SELECT count(*) FROM due_work), coalesce((SELECT extract(epoch FROM now() - min(due_at)) FROM due_work), 0)::float8,
       (SELECT count(*) FROM delayed_work), (SELECT coalesce(sum(cardinality(items)), 0) FROM work_lease),
       (SELECT count(*) FROM queued_work);

-- vacuum_due_work --
-- Autovacuum's naptime is a minute; a hot queue needs seconds.
VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) due_work;

-- vacuum_work_lease --
-- As vacuum_due_work.
VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) work_lease;

-- vacuum_outbox --
-- As vacuum_due_work.
VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) outbox;
