-- lock_reader --
-- The only one at this work until the transaction ends; false while another one is.
SELECT pg_try_advisory_xact_lock(hashtextextended('ordinaut.' || %(reader)s, 0));

-- take_in --
-- Move the oldest rows of the outbox to the log, as many as there are until so many characters are reached. Their texts are returned
-- only where their namespaces have subscriptions: mostly nobody is triggered by what happens.
WITH taken AS (
    DELETE FROM outbox WHERE id = ANY(ARRAY(
        SELECT id FROM (
            SELECT id, sum(o.size) OVER (ORDER BY id) - o.size AS before
            FROM (SELECT id, length(events::text) AS size FROM outbox ORDER BY id LIMIT %(limit)s) o
        ) sized WHERE before < %(size)s
    )) RETURNING created_at, id, events, about
), logged AS (
    INSERT INTO event_log (created_at, id, events, about) SELECT created_at, id, events, about FROM taken ORDER BY id
    RETURNING position, id, created_at, events, about
)
SELECT position, id, created_at, about, CASE WHEN about && ARRAY(SELECT namespace FROM subscription_version) THEN events::text END AS text
FROM logged ORDER BY position;

-- log_after --
-- Rows of the log behind a position, in their order, as many as there are until so many characters are reached.
SELECT position, id, created_at, about, events::text AS text FROM (
    SELECT position, id, created_at, about, events, sum(l.size) OVER (ORDER BY position) - l.size AS before
    FROM (SELECT position, id, created_at, about, events, length(events::text) AS size FROM event_log
          WHERE position > %(position)s ORDER BY position LIMIT %(limit)s) l
) sized WHERE before < %(size)s ORDER BY position;

-- log_end --
-- The position of the last row.
SELECT coalesce(max(position), 0) FROM event_log;

-- log_cursor --
-- How far a reader has come, and the position of the last row.
SELECT position, (SELECT coalesce(max(l.position), 0) FROM event_log l) FROM event_cursor WHERE reader = %(reader)s;

-- move_log_cursor --
-- A reader has come so far.
UPDATE event_cursor SET position = %(position)s, moved_at = now() WHERE reader = %(reader)s AND position < %(position)s;

-- notify_log --
-- Wake whoever follows the log.
SELECT pg_notify('ordinaut_log', '');

-- log_position_before --
-- The position behind which all rows are that were written since a time; the last one, if none were.
SELECT coalesce((SELECT min(position) - 1 FROM event_log WHERE created_at >= %(since)s),
                (SELECT max(position) FROM event_log), 0);

-- log_tail --
-- Where the last rows between two positions begin, and how many events they hold.
SELECT min(position), sum(json_array_length(events))::bigint
FROM (SELECT position, events FROM event_log WHERE position > %(after)s AND position < %(before)s ORDER BY position DESC LIMIT %(limit)s) l;
