-- search_events --
-- Events of a namespace in the rows after `since`, newest first, before a place in a row, that are as wanted. `subject` is the whole
-- one or a part of its path from the left; those of Ordinaut's own are as `envelope` makes them. The pattern of topics is looked for
-- in `about` first, so that rows without such events are not opened.
SELECT l.id, l.created_at, (e.number - 1)::int AS place, e.event
FROM (
    SELECT id, created_at, events, about FROM outbox WHERE id > %(since)s AND id <= %(before_id)s
    UNION ALL
    SELECT id, created_at, events, about FROM event_log WHERE id > %(since)s AND id <= %(before_id)s
        AND created_at >= %(created_after)s AND created_at < %(created_before)s
) l CROSS JOIN LATERAL json_array_elements(l.events) WITH ORDINALITY AS e (event, number)
WHERE l.about @> ARRAY[%(namespace)s] AND l.created_at >= %(created_after)s AND l.created_at < %(created_before)s
  AND (%(topics)s::text IS NULL OR EXISTS (
      SELECT FROM unnest(l.about) a WHERE starts_with(a, %(namespace)s || '/') AND substr(a, length(%(namespace)s) + 2) ~ %(topics)s))
  AND (l.id, e.number) < (%(before_id)s, %(before_place)s + 1)
  AND e.event ->> 'ns' = %(namespace)s
  AND (%(topics)s::text IS NULL OR e.event ->> 'type' ~ %(topics)s)
  AND (%(task)s::text IS NULL OR e.event ->> 'task' = %(task)s AND e.event ->> 'by' IS NULL)
  AND (%(run)s::text IS NULL OR e.event ->> 'run' = %(run)s AND e.event ->> 'by' IS NULL)
  AND (%(subject)s::text IS NULL OR starts_with(
      CASE WHEN e.event ->> 'by' IS NULL
           THEN 'tasks/' || (e.event ->> 'task') || coalesce('/runs/' || (e.event ->> 'run'), '') || coalesce('/steps/' || (e.event ->> 'step'), '')
           ELSE e.event ->> 'subject' END || '/', %(subject)s || '/'))
ORDER BY l.id DESC, e.number DESC
LIMIT %(limit)s;

-- oldest_event --
-- The first row of outbox and log; NULL while there is none.
SELECT least((SELECT min(id) FROM outbox), (SELECT min(id) FROM event_log));
