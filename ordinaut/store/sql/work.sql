-- lease_work --
-- Take claimable work into a new lease, whose key is the fencing token: from the heads of queues in their order, and from flows behind
-- a place in each. Work whose run has ended is dropped on the way; it is returned without namespace, so that the caller knows
-- whether it has reached the end. Work that has never begun, of a run that has, was parked: it begins another time.
WITH picked AS (
    DELETE FROM due_work WHERE ctid = ANY(ARRAY(
        SELECT place FROM (
            SELECT first.place FROM unnest(%(head_queues)b::smallint[], %(head_limits)b::int[]) AS head (queue, most) CROSS JOIN LATERAL (
                SELECT d.ctid AS place FROM due_work d WHERE d.queue = head.queue
                ORDER BY d.queue, d.urgency, d.lane, d.due_at, d.id LIMIT head.most FOR UPDATE SKIP LOCKED
            ) first
            UNION ALL
            SELECT next.place
            FROM unnest(%(queues)b::smallint[], %(urgencies)b::smallint[], %(lanes)b::int[], %(after_due)b::timestamptz[],
                        %(after_ids)b::bigint[], %(limits)b::int[]) AS flow (queue, urgency, lane, after_due, after_id, most)
            CROSS JOIN LATERAL (
                SELECT d.ctid AS place FROM due_work d
                WHERE d.queue = flow.queue AND d.urgency = flow.urgency AND d.lane = flow.lane AND (d.due_at, d.id) > (flow.after_due, flow.after_id)
                ORDER BY d.due_at, d.id LIMIT flow.most FOR UPDATE SKIP LOCKED
            ) next
        ) AS places LIMIT %(limit)s
    )) RETURNING id, queue, urgency, due_at, attempt, run_id, started_at, lane
), held AS (
    SELECT p.id, p.queue, p.urgency, p.due_at, p.attempt, p.run_id, p.lane,
           coalesce(p.started_at, CASE WHEN r.started_at IS NOT NULL THEN now() END) AS started_at,
           r.namespace, r.task_id, r.revision, r.trigger, r.scheduled_at, r.created_at, r.params, r.event
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
       held.created_at, held.params::text AS params_json, held.run_id::text AS run, held.lane,
       held.event::text AS event_json
FROM held LEFT JOIN lease ON true LEFT JOIN task t USING (task_id)
ORDER BY held.urgency, held.due_at, held.id;

-- flows_between --
-- Flows (work of one urgency and lane) with the oldest work of each and the time, found by jumping from one to the next in the index
-- within gaps between flows that are known already: those are not read, as their beginning may be full of what is gone.
WITH RECURSIVE gap AS (
    SELECT * FROM unnest(%(queues)b::smallint[], %(urgencies)b::smallint[], %(after_lanes)b::bigint[], %(before_lanes)b::bigint[])
        AS g (queue, urgency, after_lane, before_lane)
), flow AS (
    SELECT gap.queue, gap.urgency, gap.before_lane, first.lane, first.due_at FROM gap CROSS JOIN LATERAL (
        SELECT d.lane, d.due_at FROM due_work d
        WHERE d.queue = gap.queue AND d.urgency = gap.urgency AND d.lane > gap.after_lane AND d.lane < gap.before_lane
        ORDER BY d.lane, d.due_at, d.id LIMIT 1
    ) first
    UNION ALL
    SELECT flow.queue, flow.urgency, flow.before_lane, next.lane, next.due_at FROM flow CROSS JOIN LATERAL (
        SELECT d.lane, d.due_at FROM due_work d
        WHERE d.queue = flow.queue AND d.urgency = flow.urgency AND d.lane > flow.lane AND d.lane < flow.before_lane
        ORDER BY d.lane, d.due_at, d.id LIMIT 1
    ) next
)
SELECT queue, urgency, lane, now() - due_at FROM flow LIMIT %(limit)s;

-- heartbeat --
-- Prolong leases; one that is not returned is lost. Those that are locked stay as they are, and it says so: they are being settled,
-- and if whoever does so is stuck, the others must not wait for it.
WITH held AS (
    SELECT lease_id FROM work_lease WHERE lease_id = ANY(%(leases)b) AND worker = %(worker)s
), prolonged AS (
    UPDATE work_lease SET leased_until = now() + %(ttl)s::interval
    WHERE lease_id = ANY(ARRAY(
        SELECT lease_id FROM work_lease WHERE lease_id = ANY(%(leases)b) AND worker = %(worker)s FOR UPDATE SKIP LOCKED
    )) RETURNING lease_id
)
SELECT lease_id, lease_id IN (SELECT lease_id FROM prolonged) FROM held;

-- wait_for_locks --
-- How long the statements of this transaction wait for a lock at most.
SELECT set_config('lock_timeout', %(milliseconds)s::int::text, true);

-- prolong_locked --
-- Prolong leases as soon as they are no longer locked; in the order in which a settle locks them, since both wait.
UPDATE work_lease SET leased_until = now() + %(ttl)s::interval WHERE lease_id = ANY(ARRAY(
    SELECT lease_id FROM work_lease WHERE lease_id = ANY(%(leases)b) AND worker = %(worker)s ORDER BY lease_id FOR UPDATE
));

-- ended_runs --
-- Which of the runs that a worker holds have been ended by somebody else.
SELECT r.run_id FROM unnest(%(run_ids)b::uuid[]) AS x (run_id) JOIN run r USING (run_id) WHERE r.finished_at IS NOT NULL;

-- delay_work --
-- Runs that wait, until their time comes.
INSERT INTO delayed_work (queue, urgency, due_at, attempt, run_id, started_at)
SELECT x.queue, x.urgency, now() + x.delay, x.attempt, x.run_id, x.started_at
FROM unnest(%(queues)b::smallint[], %(urgencies)b::smallint[], %(delays)b::interval[], %(attempts)b::smallint[],
            %(run_ids)b::uuid[], %(started)b::timestamptz[]) AS x (queue, urgency, delay, attempt, run_id, started_at);

-- requeue_work --
-- Give work back: released by a worker that drains, or brought back by the reaper.
INSERT INTO due_work (queue, urgency, due_at, attempt, run_id, started_at, lane)
SELECT x.*, coalesce((SELECT hashtext(r.namespace) FROM run r WHERE r.run_id = x.run_id), 0)
FROM unnest(%(queues)b::smallint[], %(urgencies)b::smallint[], %(due)b::timestamptz[], %(attempts)b::smallint[],
            %(run_ids)b::uuid[], %(started)b::timestamptz[]) AS x (queue, urgency, due_at, attempt, run_id, started_at);

-- release_delayed --
-- Move delayed work whose time has come to the queue, or to where it waits for its keys; returns how much.
WITH due AS (
    DELETE FROM delayed_work WHERE id = ANY(ARRAY(
        SELECT id FROM delayed_work WHERE due_at <= now() ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )) RETURNING queue, urgency, due_at, attempt, run_id, started_at, keys
), moved AS (
    INSERT INTO due_work (queue, urgency, due_at, attempt, run_id, started_at, lane)
    SELECT due.queue, due.urgency, due.due_at, due.attempt, due.run_id, due.started_at,
           coalesce((SELECT hashtext(r.namespace) FROM run r WHERE r.run_id = due.run_id), 0)
    FROM due WHERE due.keys IS NULL RETURNING queue
), keyed AS (
    INSERT INTO keyed_work (task_id, namespace, keys, queue, urgency, attempt, run_id, started_at)
    SELECT r.task_id, r.namespace, due.keys, due.queue, due.urgency, due.attempt, due.run_id, due.started_at
    FROM due CROSS JOIN LATERAL (SELECT run.task_id, run.namespace FROM run WHERE run.run_id = due.run_id LIMIT 1) r
    WHERE due.keys IS NOT NULL ORDER BY due.due_at RETURNING task_id, contest
), news AS (
    INSERT INTO key_news (task_id, contest) SELECT DISTINCT task_id, contest FROM keyed RETURNING id
)
SELECT (SELECT count(*) FROM due), string_agg(pg_notify('ordinaut_work', queue::text)::text, ''),
       CASE WHEN EXISTS (SELECT FROM news) THEN pg_notify('ordinaut_keys', '')::text END
FROM (SELECT DISTINCT queue FROM moved) AS queues;

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

-- end_lockers --
-- End the sessions that keep leases locked which ran out a while ago, so that they can be taken back: a settle takes milliseconds,
-- so the process is frozen or the network swallows what it sends. In the middle of a pipeline PostgreSQL has no time limit for it.
-- Only who has been silent for that long, too: others are at work, and may be another operator that is just taking them back.
SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a
WHERE EXISTS (SELECT FROM work_lease WHERE leased_until < now() - %(late)s::interval)
  AND a.usename = current_user AND a.pid <> pg_backend_pid()
  AND a.wait_event_type = 'Client' AND a.state_change < clock_timestamp() - %(late)s::interval
  AND a.pid IN (SELECT l.pid FROM work_lease w JOIN pg_locks l ON l.locktype = 'transactionid' AND l.granted AND l.transactionid = w.xmax
                WHERE w.leased_until < now() - %(late)s::interval);

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

-- lock_open_runs --
-- Lock the runs of a settle; one that is not returned has been ended by somebody else. Pass the keys sorted.
SELECT r.run_id FROM unnest(%(run_ids)b::uuid[]) AS x (run_id)
CROSS JOIN LATERAL (SELECT run_id FROM run WHERE run.run_id = x.run_id AND finished_at IS NULL FOR NO KEY UPDATE) r;
