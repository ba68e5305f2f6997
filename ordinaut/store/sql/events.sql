-- append_outbox --
-- Events of this transaction, compact.
INSERT INTO outbox (events, about) VALUES (%(events)s::json, %(about)b);

-- publish_events --
-- As append_outbox, and wake the dispatcher.
WITH written AS (INSERT INTO outbox (events, about) VALUES (%(events)s::json, %(about)b) RETURNING id)
SELECT id, pg_notify('ordinaut_events', '') FROM written;

-- logged_events --
-- Rows that release 0.1 has logged, which have no position, from a time on and after an id, oldest first.
SELECT id, created_at, events FROM event_log
WHERE position IS NULL AND created_at >= %(since)s AND id > %(after)s ORDER BY id LIMIT %(limit)s;

-- skip_event_ids --
-- Have the next row of the outbox get an id beyond one that may have been given out, and beyond all that there are; and
-- the next one of the log a position as far away, since readers remember positions too.
SELECT setval(pg_get_serial_sequence('outbox', 'id'), greatest(nextval(pg_get_serial_sequence('outbox', 'id')), %(beyond)s::bigint) + %(distance)s::bigint),
       setval('event_position', nextval('event_position') + %(distance)s::bigint);

-- newest_event --
-- The last row of outbox and log; NULL while there is none.
SELECT greatest((SELECT max(id) FROM outbox), (SELECT max(id) FROM event_log));

-- list_events --
-- Events of a namespace in the rows after `since`, newest first, before a place in a row; whether the relay has moved the
-- row makes no difference. Each row that is looked up holds one that is wanted, but for the row of that place: no more rows
-- are opened than needed. `id + 0` keeps the planner from reading the whole log backwards for somebody with hardly any.
SELECT l.id, l.created_at, (e.number - 1)::int AS place, e.event
FROM (
    SELECT id, created_at, events FROM (
        (SELECT id, created_at, events FROM outbox
         WHERE about @> ARRAY[%(about)s] AND id > %(since)s AND id <= %(before_id)s ORDER BY id + 0 DESC LIMIT %(limit)s::int + 1)
        UNION ALL
        (SELECT id, created_at, events FROM event_log
         WHERE about @> ARRAY[%(about)s] AND id > %(since)s AND id <= %(before_id)s ORDER BY id + 0 DESC LIMIT %(limit)s::int + 1)
    ) found ORDER BY id DESC
) l CROSS JOIN LATERAL json_array_elements(l.events) WITH ORDINALITY AS e (event, number)
WHERE (l.id, e.number) < (%(before_id)s, %(before_place)s + 1)
  AND e.event ->> 'ns' = %(namespace)s AND (%(type)s::text IS NULL OR e.event ->> 'type' = %(type)s)
ORDER BY l.id DESC, e.number DESC
LIMIT %(limit)s;

-- outbox_figures --
-- How many rows wait for the stream, in the outbox or behind the relay in the log, and how old the oldest is, in seconds. The
-- log's positions have hardly any gaps, and counting what lies between two of them would take long when it is most.
SELECT (SELECT count(*) FROM outbox)
         + greatest(coalesce((SELECT max(position) FROM event_log), 0) - (SELECT position FROM event_cursor WHERE reader = 'stream'), 0),
       coalesce(extract(epoch FROM now() - least(
           (SELECT min(created_at) FROM outbox),
           (SELECT created_at FROM event_log WHERE position > (SELECT position FROM event_cursor WHERE reader = 'stream')
            ORDER BY position LIMIT 1))), 0)::float8;

-- append_audit --
-- Who did what, and what was decided.
INSERT INTO audit (actor, verb, namespace, object, decision, request_id, detail)
VALUES (%(actor)s, %(verb)s, %(namespace)s, %(object)s, %(decision)s, %(request_id)s, %(detail)s);

-- forget_audit --
-- The oldest lines of the audit trail, if they are older than so many days: some at a time, by their keys.
DELETE FROM audit WHERE id = ANY(ARRAY(
    SELECT id FROM (SELECT id, at FROM audit ORDER BY id LIMIT %(limit)s) oldest WHERE at < now() - make_interval(days => %(days)s)
));

-- list_audit --
-- The audit trail of a namespace, newest first, before a cursor; optionally of one actor, verb or decision.
SELECT id, at, actor, verb, namespace, object, decision, request_id
FROM audit
WHERE namespace = %(namespace)s AND id < coalesce(%(before)s::bigint, 9223372036854775807)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s) AND (%(verb)s::text IS NULL OR verb = %(verb)s)
  AND (%(decision)s::text IS NULL OR decision = %(decision)s)
ORDER BY id DESC
LIMIT %(limit)s;
