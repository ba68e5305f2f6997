-- claim_due_tasks --
-- Tasks with a nominal time that has come, locked until the firing transaction ends; others skip them, before they look up
-- anything about them. Left out are those of creators whose rights are not known yet: they must not fill the batch.
WITH claimed AS MATERIALIZED (
    SELECT c.task_id, c.evaluated_at, c.as_of, c.kept, c.next_fire_at, c.unauthorized_at
    FROM task_clock c
    WHERE c.next_fire_at <= now()
      AND (cardinality(%(creators)b::bigint[]) = 0 OR NOT EXISTS (
          SELECT FROM task t JOIN unnest(%(creators)b::bigint[], %(namespaces)b::text[]) AS unknown (creator_id, namespace)
               USING (creator_id, namespace)
          WHERE t.task_id = c.task_id))
    ORDER BY c.next_fire_at
    LIMIT %(limit)s
    FOR UPDATE OF c SKIP LOCKED
)
SELECT c.task_id, c.evaluated_at, c.as_of, c.kept, c.next_fire_at, t.namespace, t.name, (t.spec - %(unread)b::text[])::text AS spec,
       t.params, t.anchor, t.revision, coalesce(t.spec ->> 'concurrencyPolicy', 'Allow') <> 'Allow' AS exclusive, now() AS now,
       t.snoozed_until, c.unauthorized_at, t.creator_id,
       (SELECT i.identity FROM creator i WHERE i.creator_id = t.creator_id) AS creator, t.queue, nullif(t.keys, '[]')
FROM claimed c JOIN task t USING (task_id);

-- advance_clocks --
-- Each nominal time up to evaluated_at is in the ledger now. What other time zone data has decided can't be computed anew.
UPDATE task_clock c SET evaluated_at = x.evaluated_at, as_of = x.as_of, kept = x.kept, next_fire_at = x.next_fire_at,
       unauthorized_at = x.unauthorized_at, tzdata = %(tzdata)s,
       counted_from = CASE WHEN c.tzdata = %(tzdata)s THEN c.counted_from ELSE c.evaluated_at END
FROM unnest(%(task_ids)b::bigint[], %(evaluated)b::timestamptz[], %(as_of)b::timestamptz[], %(kept)b::int[], %(next_fires)b::timestamptz[],
            %(unauthorized)b::timestamptz[])
     AS x (task_id, evaluated_at, as_of, kept, next_fire_at, unauthorized_at)
WHERE c.task_id = x.task_id;

-- insert_fires --
-- The ledger. Its key is the second lock: what it has already, and this returns, must not get a run.
WITH decided AS (
    SELECT * FROM unnest(%(task_ids)b::bigint[], %(scheduled)b::timestamptz[], %(outcomes)b::text[], %(reasons)b::text[], %(run_ids)b::uuid[])
        AS x (task_id, scheduled_at, outcome, reason, run_id)
), new AS (
    INSERT INTO fire (task_id, scheduled_at, outcome, reason, run_id) SELECT * FROM decided
    ON CONFLICT DO NOTHING RETURNING task_id, scheduled_at
)
SELECT task_id, scheduled_at FROM decided EXCEPT SELECT task_id, scheduled_at FROM new;

-- due_seconds --
-- The seconds until the horizon in which something becomes due; of those that have come, only the first. Found by jumping from
-- one to the next in the indexes, however many are due in each.
WITH RECURSIVE fires AS (
    (SELECT date_trunc('second', next_fire_at) AS due FROM task_clock WHERE next_fire_at IS NOT NULL ORDER BY next_fire_at LIMIT 1)
    UNION ALL
    SELECT (SELECT date_trunc('second', next_fire_at) FROM task_clock
            WHERE next_fire_at >= greatest(f.due + interval '1 s', date_trunc('second', now())) ORDER BY next_fire_at LIMIT 1)
    FROM fires f WHERE f.due <= now() + %(horizon)s::interval
), waits AS (
    (SELECT date_trunc('second', due_at) AS due FROM delayed_work ORDER BY due_at LIMIT 1)
    UNION ALL
    SELECT (SELECT date_trunc('second', due_at) FROM delayed_work
            WHERE due_at >= greatest(w.due + interval '1 s', date_trunc('second', now())) ORDER BY due_at LIMIT 1)
    FROM waits w WHERE w.due <= now() + %(horizon)s::interval
)
SELECT due FROM (SELECT due FROM fires UNION SELECT due FROM waits) AS soon WHERE due <= now() + %(horizon)s::interval ORDER BY due;

-- database_time --
-- The one clock that counts.
SELECT now();

-- lock_task --
-- A task that is about to be run by hand, locked against its own clock.
SELECT t.task_id, t.namespace, t.name, t.spec, t.ready, t.reason, t.message, t.revision, t.queue, now() AS now
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
