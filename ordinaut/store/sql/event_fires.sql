-- list_event_fires --
-- What became of the events that a task's triggers matched, in the order of the log, newest first, before a place in it.
SELECT f.position, f.place, f.event_id, f.event_type, f.trigger, f.outcome, f.reason, f.message, f.run_id, f.decided_at
FROM task t JOIN event_fire f USING (task_id)
WHERE t.namespace = %(namespace)s AND t.name = %(name)s AND t.deleted_at IS NULL
  AND (f.position, f.place) < (%(position)s::bigint, %(place)s::int)
ORDER BY f.position DESC, f.place DESC
LIMIT %(limit)s;

-- open_gatherings --
-- What the triggers of a task gather, in the order of the triggers.
SELECT trigger, events, due_at FROM gathering WHERE task_id = %(task_id)s ORDER BY trigger;

-- listening_tasks --
-- The triggers of tasks, and since when events have surely been compared with them as they are: a minute after the last edit, since
-- an event may have been on its way while that committed.
SELECT s.task_id, s.triggers, t.updated_at + interval '1 minute' AS since
FROM subscription s JOIN task t USING (task_id)
WHERE s.task_id = ANY(%(task_ids)b) AND s.triggers IS NOT NULL AND t.deleted_at IS NULL ORDER BY s.task_id;

-- compared_events --
-- The newest rows of the log about a namespace, of those written since a time that the triggers have been compared with.
SELECT position, id, created_at, about, events::text AS text FROM event_log
WHERE position <= (SELECT c.position FROM event_cursor c WHERE c.reader = 'triggers') AND about && ARRAY[%(namespace)s]
  AND created_at >= %(since)s
ORDER BY position DESC LIMIT %(limit)s;

-- event_fires_of --
-- What the ledger says of these events, and whether a run that it names is missing, or an event that should be gathered is not.
SELECT f.task_id, f.event_key, f.outcome,
       f.outcome = 'Fired' AND f.decided_at > now() - interval '1 day'
           AND NOT EXISTS (SELECT FROM run WHERE run.run_id = f.run_id OFFSET 0) AS lacks_run,
       f.outcome = 'Gathered' AND NOT EXISTS (
           SELECT FROM gathering g JOIN gathered_event e USING (task_id, trigger)
           WHERE e.task_id = f.task_id AND e.trigger = f.trigger AND e.position = f.position AND e.place = f.place) AS is_lost
FROM unnest(%(task_ids)b::bigint[], %(keys)b::uuid[]) AS x (task_id, event_key) JOIN event_fire f USING (task_id, event_key);

-- forget_event_fires --
-- Some lines of the ledger of events that are older than so many days; what is still gathered stays.
DELETE FROM event_fire WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM event_fire
    WHERE decided_at < now() - make_interval(days => %(days)s) AND outcome <> 'Gathered' LIMIT %(limit)s
));
