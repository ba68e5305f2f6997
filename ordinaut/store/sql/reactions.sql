-- tasks_of_events --
-- What decides whether events make runs of these tasks, as far as they live.
SELECT t.task_id, t.namespace, t.name, CASE WHEN t.revision IS NULL THEN '{}' ELSE (t.spec - %(unread)b::text[])::text END AS spec,
       t.params, t.revision, t.revision IS NOT NULL AND coalesce(t.spec ->> 'concurrencyPolicy', 'Allow') <> 'Allow' AS exclusive,
       now() AS now, t.snoozed_until, t.paused_at IS NOT NULL AS paused, coalesce(t.spec ->> 'suspend' = 'true', false) AS suspended,
       t.reason, t.message, c.unauthorized_at, t.creator_id,
       (SELECT i.identity FROM creator i WHERE i.creator_id = t.creator_id) AS creator, t.queue, nullif(t.keys, '[]') AS keys,
       EXISTS (SELECT FROM gathering g WHERE g.task_id = t.task_id) AS gathers
FROM unnest(%(task_ids)b::bigint[]) AS x (task_id) JOIN task t USING (task_id) JOIN task_clock c USING (task_id)
WHERE t.deleted_at IS NULL;

-- hold_snoozed_tasks --
-- Until when these tasks are snoozed; whoever ends that waits, and so finds the runs that are being made.
SELECT task_id, snoozed_until FROM task WHERE task_id = ANY(%(task_ids)b) ORDER BY task_id FOR SHARE;

-- hold_clocks --
-- Which of these tasks live, their clocks locked in the order of their keys.
SELECT task_id FROM task_clock WHERE task_id = ANY(%(task_ids)b) ORDER BY task_id FOR UPDATE;

-- known_event_fires --
-- Which of these events the ledger has already.
SELECT f.task_id, f.event_key FROM unnest(%(task_ids)b::bigint[], %(keys)b::uuid[]) AS x (task_id, event_key) JOIN event_fire f USING (task_id, event_key);

-- insert_event_fires --
-- The ledger. Its key is the second lock: what it has already, and this returns, must not get a run.
WITH decided AS (
    SELECT * FROM unnest(%(task_ids)b::bigint[], %(keys)b::uuid[], %(positions)b::bigint[], %(places)b::int[], %(ids)b::text[],
                         %(types)b::text[], %(triggers)b::smallint[], %(outcomes)b::text[], %(reasons)b::text[],
                         %(messages)b::text[], %(run_ids)b::uuid[])
        AS x (task_id, event_key, position, place, event_id, event_type, trigger, outcome, reason, message, run_id)
), new AS (
    INSERT INTO event_fire (task_id, event_key, position, place, event_id, event_type, trigger, outcome, reason, message, run_id)
    SELECT * FROM decided ORDER BY task_id, event_key
    ON CONFLICT DO NOTHING RETURNING task_id, event_key
)
SELECT task_id, event_key FROM decided EXCEPT SELECT task_id, event_key FROM new;

-- settle_event_fires --
-- What became of events that were gathered.
UPDATE event_fire f SET outcome = x.outcome, reason = x.reason, message = x.message, run_id = x.run_id, decided_at = now()
FROM unnest(%(task_ids)b::bigint[], %(keys)b::uuid[], %(outcomes)b::text[], %(reasons)b::text[], %(messages)b::text[], %(run_ids)b::uuid[])
     AS x (task_id, event_key, outcome, reason, message, run_id)
WHERE f.task_id = x.task_id AND f.event_key = x.event_key AND f.outcome = 'Gathered';

-- hops_of_runs --
-- How many runs of events stand one behind the other, up to these runs of these namespaces.
SELECT r.run_id, r.hops FROM unnest(%(run_ids)b::uuid[], %(namespaces)b::text[]) AS x (run_id, namespace) JOIN run r USING (run_id, namespace);

-- params_schemas --
-- What the params of runs of these revisions must be like.
SELECT digest, body -> 'pipeline' -> 'params' FROM pipeline_revision WHERE digest = ANY(%(digests)b);

-- mark_unauthorized --
-- Since when the creators of tasks may not run them, NULL where they may; who calls has locked the clocks.
UPDATE task_clock c SET unauthorized_at = x.at FROM unnest(%(task_ids)b::bigint[], %(since)b::timestamptz[]) AS x (task_id, at) WHERE c.task_id = x.task_id;

-- gatherings_of --
-- What triggers of these tasks have gathered.
SELECT task_id, trigger, opened_at, due_at, events, bytes FROM gathering WHERE task_id = ANY(%(task_ids)b);

-- gathered_events --
-- The events that these triggers have gathered, in the order of the log: of each the first, up to so many of so many bytes.
SELECT g.task_id, g.trigger, g.position, g.place, g.event_key, g.accepted_at, g.hops, g.bytes, g.event
FROM unnest(%(task_ids)b::bigint[], %(triggers)b::smallint[]) AS x (task_id, trigger) CROSS JOIN LATERAL (
    SELECT e.*, sum(e.bytes) OVER (ORDER BY e.position, e.place) AS up_to FROM (
        SELECT * FROM gathered_event o WHERE o.task_id = x.task_id AND o.trigger = x.trigger ORDER BY position, place LIMIT %(limit)s
    ) e
) g
WHERE g.up_to - g.bytes < %(bytes)s ORDER BY g.task_id, g.trigger, g.position, g.place;

-- gather_events --
-- Keep events until their time comes. Each is named by its place among the texts.
INSERT INTO gathered_event (task_id, trigger, position, place, event_key, accepted_at, hops, bytes, event)
SELECT x.task_id, x.trigger, x.position, x.place, x.event_key, x.accepted_at, x.hops, x.bytes, (%(events)b::text[])[x.event]::json
FROM unnest(%(task_ids)b::bigint[], %(triggers)b::smallint[], %(positions)b::bigint[], %(places)b::int[], %(keys)b::uuid[],
            %(accepted)b::timestamptz[], %(hops)b::smallint[], %(bytes)b::int[], %(event_places)b::int[])
     AS x (task_id, trigger, position, place, event_key, accepted_at, hops, bytes, event);

-- release_events --
-- Events that are no longer gathered.
DELETE FROM gathered_event g
USING unnest(%(task_ids)b::bigint[], %(triggers)b::smallint[], %(positions)b::bigint[], %(places)b::int[]) AS x (task_id, trigger, position, place)
WHERE g.task_id = x.task_id AND g.trigger = x.trigger AND g.position = x.position AND g.place = x.place;

-- put_gatherings --
-- How gatherings stand now.
INSERT INTO gathering AS g (task_id, trigger, opened_at, due_at, events, bytes)
SELECT * FROM unnest(%(task_ids)b::bigint[], %(triggers)b::smallint[], %(opened)b::timestamptz[], %(due)b::timestamptz[], %(events)b::int[], %(bytes)b::bigint[])
ON CONFLICT (task_id, trigger) DO UPDATE
SET opened_at = excluded.opened_at, due_at = excluded.due_at, events = excluded.events, bytes = excluded.bytes;

-- drop_gatherings --
-- Gatherings of which nothing is left.
DELETE FROM gathering g USING unnest(%(task_ids)b::bigint[], %(triggers)b::smallint[]) AS x (task_id, trigger)
WHERE g.task_id = x.task_id AND g.trigger = x.trigger;

-- due_gatherings --
-- Tasks of which gatherings are due, what has waited longest first. Left out are those of creators whose rights are not known yet:
-- they must not fill the batch.
SELECT g.task_id FROM gathering g JOIN task_clock c USING (task_id)
WHERE g.due_at <= now()
  AND (cardinality(%(creators)b::bigint[]) = 0 OR NOT EXISTS (
      SELECT FROM task t JOIN unnest(%(creators)b::bigint[], %(namespaces)b::text[]) AS unknown (creator_id, namespace)
           USING (creator_id, namespace)
      WHERE t.task_id = g.task_id))
GROUP BY g.task_id ORDER BY min(g.due_at) LIMIT %(limit)s;

-- triggers_of_tasks --
-- The triggers of tasks, as they are stored.
SELECT task_id, triggers FROM subscription WHERE task_id = ANY(%(task_ids)b) AND triggers IS NOT NULL;

-- drop_orphaned_gatherings --
-- Due gatherings of tasks that are gone: their events make no runs any more.
WITH orphan AS (
    DELETE FROM gathering WHERE (task_id, trigger) IN (
        SELECT g.task_id, g.trigger FROM gathering g
        WHERE g.due_at <= now() AND NOT EXISTS (SELECT FROM task_clock c WHERE c.task_id = g.task_id)
        ORDER BY g.due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ) RETURNING task_id, trigger
), event AS (
    DELETE FROM gathered_event e USING orphan WHERE e.task_id = orphan.task_id AND e.trigger = orphan.trigger RETURNING e.task_id, e.event_key
)
UPDATE event_fire f SET outcome = 'Skipped', reason = 'NotReady', message = %(message)s, decided_at = now()
FROM event WHERE f.task_id = event.task_id AND f.event_key = event.event_key AND f.outcome = 'Gathered';

-- next_gathering --
-- In how many seconds the next gathering is due; NULL while there is none to come.
SELECT extract(epoch FROM min(due_at) - now())::float8 FROM gathering WHERE due_at > now();

-- hold_snooze --
-- Until when a task is snoozed, if it is, locked against those who make runs of it just now.
SELECT task_id, snoozed_until FROM task
WHERE namespace = %(namespace)s AND name = %(name)s AND deleted_at IS NULL AND snoozed_until > now() FOR NO KEY UPDATE;

-- move_snoozed_runs --
-- Runs of events that wait for the end of a task's snooze wait for another end, each as long after it as before.
WITH delayed AS (
    UPDATE delayed_work w SET due_at = w.due_at + (%(until)s::timestamptz - %(before)s::timestamptz)
    FROM run r
    WHERE w.due_at >= %(before)s AND w.started_at IS NULL AND r.run_id = w.run_id AND r.task_id = %(task_id)s AND r.trigger = 'event'
    RETURNING w.id
), queued AS (
    UPDATE queued_work w SET due_at = w.due_at + (%(until)s::timestamptz - %(before)s::timestamptz)
    FROM run r
    WHERE w.task_id = %(task_id)s AND w.due_at >= %(before)s AND r.run_id = w.run_id AND r.trigger = 'event'
    RETURNING w.id
)
SELECT pg_notify('ordinaut_clock', '') FROM (SELECT count(*) FROM (SELECT id FROM delayed UNION ALL SELECT id FROM queued) moved) one;
