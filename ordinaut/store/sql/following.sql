-- log_bounds --
-- The oldest and the last row of the log that have positions and when they were written, the last position that was given out, and
-- whether rows wait to be moved to the log.
SELECT a.position, a.created_at, z.position, z.created_at,
       (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM event_position), EXISTS (SELECT FROM outbox)
FROM (SELECT 1) one
LEFT JOIN LATERAL (SELECT position, created_at FROM event_log WHERE position IS NOT NULL ORDER BY position LIMIT 1) a ON true
LEFT JOIN LATERAL (SELECT position, created_at FROM event_log WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1) z ON true;

-- log_span --
-- Rows between two positions with events of these namespaces, or of types in them, in their order.
SELECT position, id, created_at, about, events::text AS text FROM event_log
WHERE position > %(after)s AND position <= %(until)s AND about && %(about)b::text[] ORDER BY position LIMIT %(limit)s;

-- log_begin --
-- The first position of what a transaction wrote about a namespace, which its time tells.
SELECT min(position) FROM event_log WHERE created_at = %(created_at)s AND about @> ARRAY[%(namespace)s];

-- log_since --
-- The first position of the rows that were written first from a time on: some of them committed in another order.
SELECT min(position) FROM (SELECT position FROM event_log WHERE created_at >= %(since)s ORDER BY created_at LIMIT %(limit)s) l;
