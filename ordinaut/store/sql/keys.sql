-- wait_for_keys --
-- Runs that could start but for their concurrency keys, in this order.
WITH waiting AS (
    INSERT INTO keyed_work (task_id, namespace, keys, queue, urgency, run_id)
    SELECT x.task_id, x.namespace, x.keys::jsonb, x.queue, 9 - x.priority, x.run_id
    FROM unnest(%(task_ids)b::bigint[], %(namespaces)b::text[], %(keys)b::text[], %(queues)b::smallint[], %(priorities)b::smallint[],
                %(run_ids)b::uuid[]) WITH ORDINALITY AS x (task_id, namespace, keys, queue, priority, run_id, place)
    ORDER BY x.place RETURNING task_id, contest
)
INSERT INTO key_news (task_id, contest) SELECT DISTINCT task_id, contest FROM waiting;

-- forget_keyed --
-- Runs that ended while they waited for their keys. Whoever takes a run from here holds the run's lock.
DELETE FROM keyed_work WHERE run_id = ANY(%(run_ids)b);

-- revisit_keys --
-- The limits of these tasks may have changed: admission has to look at whatever of them waits.
WITH news AS (
    INSERT INTO key_news (task_id, behind)
    SELECT x.task_id, '00000000-0000-0000-0000-000000000000' FROM unnest(%(task_ids)b::bigint[]) AS x (task_id)
    WHERE EXISTS (SELECT FROM keyed_work w WHERE w.task_id = x.task_id)
    RETURNING id
)
SELECT pg_notify('ordinaut_keys', '') FROM news LIMIT 1;

-- notify_keys --
-- Wake admission: one notification a transaction.
SELECT pg_notify('ordinaut_keys', '');

-- any_key_news --
-- Whether admission has anything to look at: mostly not.
SELECT EXISTS (SELECT FROM key_news);

-- lock_admission --
-- Only one transaction grants slots at a time, and each of its later statements sees what the one before it granted. Who is not
-- `patient` leaves them to whoever has the lock.
SELECT CASE WHEN %(patient)s THEN pg_advisory_xact_lock(hashtextextended('ordinaut.keys', 0))::text = ''
            ELSE pg_try_advisory_xact_lock(hashtextextended('ordinaut.keys', 0)) END;

-- take_key_news --
-- The oldest news.
WITH taken AS (
    DELETE FROM key_news WHERE id = ANY(ARRAY(SELECT id FROM key_news ORDER BY id LIMIT %(limit)s))
    RETURNING namespace, key, task_id, contest, behind
)
SELECT namespace, key, task_id, contest, behind FROM taken;

-- add_key_news --
-- What admission has not come to an end with.
INSERT INTO key_news (namespace, key, task_id, contest, behind)
SELECT * FROM unnest(%(namespaces)b::text[], %(keys)b::text[], %(task_ids)b::bigint[], %(contests)b::uuid[], %(behinds)b::uuid[]);

-- contests_of_keys --
-- The contests that come first for these keys, so many for each.
SELECT x.namespace, x.key, first.task_id, first.contest
FROM unnest(%(namespaces)b::text[], %(keys)b::text[]) AS x (namespace, key) CROSS JOIN LATERAL (
    SELECT a.task_id, a.contest FROM awaited_key a WHERE a.namespace = x.namespace AND a.key = x.key
    ORDER BY a.urgency, a.head LIMIT %(limit)s
) first;

-- contests_of_tasks --
-- The contests of tasks, so many of each behind one: found by jumping from one to the next in the index, however many runs are in each.
WITH RECURSIVE found AS (
    SELECT x.task_id, first.contest, 1 AS place
    FROM unnest(%(task_ids)b::bigint[], %(behinds)b::uuid[]) AS x (task_id, behind) CROSS JOIN LATERAL (
        SELECT w.contest FROM keyed_work w WHERE w.task_id = x.task_id AND w.contest > x.behind ORDER BY w.contest LIMIT 1
    ) first
    UNION ALL
    SELECT f.task_id, next.contest, f.place + 1 FROM found f CROSS JOIN LATERAL (
        SELECT w.contest FROM keyed_work w WHERE w.task_id = f.task_id AND w.contest > f.contest ORDER BY w.contest LIMIT 1
    ) next WHERE f.place < %(limit)s
)
SELECT task_id, contest, place FROM found;

-- contests_behind --
-- The next contests of a round over all of them, found in the same way.
WITH RECURSIVE found AS (
    (SELECT task_id, contest FROM keyed_work WHERE (task_id, contest) > (%(task_id)s::bigint, %(contest)s::uuid)
     ORDER BY task_id, contest LIMIT 1)
    UNION ALL
    SELECT next.task_id, next.contest FROM found f CROSS JOIN LATERAL (
        SELECT w.task_id, w.contest FROM keyed_work w WHERE (w.task_id, w.contest) > (f.task_id, f.contest)
        ORDER BY w.task_id, w.contest LIMIT 1
    ) next
)
SELECT task_id, contest FROM found LIMIT %(limit)s;

-- contest_limits --
-- The keys of contests in which runs wait, each with the limit that the task has for it now; NULL where its spec says nothing of it.
SELECT x.task_id, x.contest, first.namespace, k.key,
       (SELECT min((e ->> 'limit')::int) FROM jsonb_array_elements(t.keys) e
        WHERE e ->> 'source' IN (SELECT same.source FROM jsonb_to_recordset(first.keys) AS same (key text, source text) WHERE same.key = k.key))
FROM unnest(%(task_ids)b::bigint[], %(contests)b::uuid[]) AS x (task_id, contest)
CROSS JOIN LATERAL (
    SELECT w.namespace, w.keys FROM keyed_work w WHERE w.task_id = x.task_id AND w.contest = x.contest ORDER BY w.urgency, w.id LIMIT 1
) first
CROSS JOIN LATERAL (SELECT DISTINCT r.key FROM jsonb_to_recordset(first.keys) AS r (key text)) k
JOIN task t ON t.task_id = x.task_id;

-- held_slots --
-- How many runs hold these keys.
SELECT x.namespace, x.key, (SELECT count(*) FROM held_key h WHERE h.namespace = x.namespace AND h.key = x.key)
FROM unnest(%(namespaces)b::text[], %(keys)b::text[]) AS x (namespace, key);

-- keyed_candidates --
-- The first runs of contests, as many as there is room for in each.
SELECT first.urgency, first.id, first.run_id, x.task_id, x.contest
FROM unnest(%(task_ids)b::bigint[], %(contests)b::uuid[], %(rooms)b::int[]) AS x (task_id, contest, room) CROSS JOIN LATERAL (
    SELECT w.urgency, w.id, w.run_id FROM keyed_work w WHERE w.task_id = x.task_id AND w.contest = x.contest
    ORDER BY w.urgency, w.id LIMIT x.room
) first;

-- admit_runs --
-- Give runs their slots and make them claimable, in this order. Left where they are: runs that have ended, and those that somebody
-- is just ending; whose lock is never waited for, since that one may be waiting for the row here.
WITH chosen AS (
    SELECT * FROM unnest(%(ids)b::bigint[], %(run_ids)b::uuid[]) WITH ORDINALITY AS x (id, run_id, place)
), open AS MATERIALIZED (
    SELECT chosen.id FROM chosen CROSS JOIN LATERAL (
        SELECT FROM run WHERE run.run_id = chosen.run_id AND finished_at IS NULL FOR NO KEY UPDATE SKIP LOCKED
    ) r
), moved AS (
    DELETE FROM keyed_work WHERE id = ANY(ARRAY(SELECT id FROM open))
    RETURNING id, task_id, namespace, keys, queue, urgency, attempt, run_id, started_at
), slots AS (
    INSERT INTO held_key (run_id, key, namespace, task_id, source, held_since)
    SELECT m.run_id, k.key, m.namespace, m.task_id, k.source, statement_timestamp()
    FROM moved m JOIN chosen USING (id) CROSS JOIN LATERAL jsonb_to_recordset(m.keys) AS k (key text, source text)
    ORDER BY chosen.place
    ON CONFLICT DO NOTHING
), queued AS (
    INSERT INTO due_work (queue, urgency, due_at, attempt, run_id, started_at, lane)
    SELECT m.queue, m.urgency, now(), m.attempt, m.run_id, m.started_at, hashtext(m.namespace)
    FROM moved m JOIN chosen USING (id) ORDER BY chosen.place
    RETURNING queue
)
SELECT ARRAY(SELECT run_id FROM moved),
       (SELECT string_agg(pg_notify('ordinaut_work', queue::text)::text, '') FROM (SELECT DISTINCT queue FROM queued) AS queues);

-- pend_runs --
-- Runs that have got what they waited for.
UPDATE run r SET phase = 'Pending', reason = NULL
FROM unnest(%(run_ids)b::uuid[]) AS x (run_id)
WHERE r.run_id = x.run_id AND r.finished_at IS NULL AND r.phase = 'Waiting';

-- drop_ended_keyed --
-- Of these runs those that have ended without leaving: whoever ended them knows no keys.
DELETE FROM keyed_work w
WHERE w.run_id = ANY(%(run_ids)b) AND (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = w.run_id) IS NOT TRUE;

-- order_awaited --
-- Note how the first of these contests stand now, and forget the contests in which nobody waits, or whose task is gone: those that
-- contest_limits leaves out, or admission would come upon them again and again.
WITH looked AS (
    SELECT x.task_id, x.contest, first.namespace, first.keys, first.urgency, first.id
    FROM unnest(%(task_ids)b::bigint[], %(contests)b::uuid[]) AS x (task_id, contest) LEFT JOIN LATERAL (
        SELECT w.namespace, w.keys, w.urgency, w.id FROM keyed_work w WHERE w.task_id = x.task_id AND w.contest = x.contest
        ORDER BY w.urgency, w.id LIMIT 1
    ) first ON EXISTS (SELECT FROM task t WHERE t.task_id = x.task_id)
), over AS (
    DELETE FROM awaited_key a USING looked
    WHERE a.task_id = looked.task_id AND a.contest = looked.contest AND looked.id IS NULL
)
INSERT INTO awaited_key AS a (task_id, contest, key, namespace, urgency, head)
SELECT DISTINCT looked.task_id, looked.contest, k.key, looked.namespace, looked.urgency, looked.id
FROM looked CROSS JOIN LATERAL jsonb_to_recordset(looked.keys) AS k (key text) WHERE looked.id IS NOT NULL
ON CONFLICT (task_id, contest, key) DO UPDATE SET urgency = excluded.urgency, head = excluded.head
WHERE (a.urgency, a.head) IS DISTINCT FROM (excluded.urgency, excluded.head);

-- heal_keys --
-- Free the slots of runs that have ended or are gone, of so many holders behind one; whoever ended them knows no keys. Also returned
-- is how far the look has come; NULL at its end.
WITH RECURSIVE holder AS (
    (SELECT run_id FROM held_key WHERE run_id > %(after)s ORDER BY run_id LIMIT 1)
    UNION ALL
    SELECT next.run_id FROM holder CROSS JOIN LATERAL (
        SELECT h.run_id FROM held_key h WHERE h.run_id > holder.run_id ORDER BY h.run_id LIMIT 1
    ) next
), looked AS MATERIALIZED (
    SELECT run_id FROM holder LIMIT %(limit)s
), freed AS (
    DELETE FROM held_key WHERE run_id = ANY(ARRAY(
        SELECT run_id FROM looked WHERE (SELECT r.finished_at IS NULL FROM run r WHERE r.run_id = looked.run_id) IS NOT TRUE
    )) RETURNING run_id, namespace, key
), news AS (
    INSERT INTO key_news (namespace, key) SELECT DISTINCT namespace, key FROM freed
)
SELECT ARRAY(SELECT DISTINCT run_id FROM freed ORDER BY run_id),
       CASE WHEN (SELECT count(*) FROM looked) = %(limit)s THEN (SELECT run_id FROM looked ORDER BY run_id DESC LIMIT 1) END;

-- keys_blocking --
-- The keys of runs that wait for them: the limit that counts for the run, how many hold the key, the first of these, and how many
-- wait for it before the run, as far as they were counted.
SELECT w.run_id, k.key, limits.most,
       (SELECT count(*) FROM held_key h WHERE h.namespace = w.namespace AND h.key = k.key) AS held,
       ARRAY(SELECT jsonb_build_object('run', h.run_id, 'task', (SELECT t.name FROM task t WHERE t.task_id = h.task_id), 'since', h.held_since)
             FROM held_key h WHERE h.namespace = w.namespace AND h.key = k.key ORDER BY h.id LIMIT %(shown)s) AS holders,
       (SELECT count(*) FROM (
            SELECT FROM awaited_key a JOIN keyed_work o ON o.task_id = a.task_id AND o.contest = a.contest
            WHERE a.namespace = w.namespace AND a.key = k.key AND (a.urgency, a.head) <= (w.urgency, w.id) AND (o.urgency, o.id) < (w.urgency, w.id)
            LIMIT %(counted)s) before) AS ahead
FROM keyed_work w
CROSS JOIN LATERAL (SELECT DISTINCT r.key FROM jsonb_to_recordset(w.keys) AS r (key text)) k
CROSS JOIN LATERAL (
    SELECT min((e ->> 'limit')::int) AS most FROM task t CROSS JOIN LATERAL jsonb_array_elements(t.keys) e
    WHERE t.task_id = w.task_id
      AND e ->> 'source' IN (SELECT same.source FROM jsonb_to_recordset(w.keys) AS same (key text, source text) WHERE same.key = k.key)
) limits
WHERE w.run_id = ANY(%(run_ids)b)
ORDER BY w.run_id, k.key;

-- key_figures --
-- How many runs wait for keys, and how many slots are held.
SELECT (SELECT count(*) FROM keyed_work), (SELECT count(*) FROM held_key);

-- vacuum_keyed_work --
-- As vacuum_due_work.
VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) keyed_work;

-- vacuum_held_key --
-- As vacuum_due_work.
VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) held_key;

-- vacuum_awaited_key --
-- As vacuum_due_work.
VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) awaited_key;

-- vacuum_key_news --
-- As vacuum_due_work.
VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) key_news;
