-- clock_figures --
-- By how many seconds the longest due task is overdue, and when the next one fires. Both ends of one index: cheap however
-- many tasks there are.
SELECT greatest(coalesce(extract(epoch FROM now() - min(next_fire_at)), 0), 0)::float8, extract(epoch FROM min(next_fire_at))::float8
FROM task_clock WHERE next_fire_at IS NOT NULL;

-- task_figures --
-- How many tasks are ready, paused (by their spec or by somebody) and not ready; each is one of them.
SELECT count(*) FILTER (WHERE ready AND NOT paused), count(*) FILTER (WHERE ready AND paused), count(*) FILTER (WHERE NOT ready)
FROM (SELECT ready, paused_at IS NOT NULL OR coalesce((spec ->> 'suspend')::boolean, false) AS paused
      FROM task WHERE deleted_at IS NULL) live;

-- partition_days_ahead --
-- How many days after today have all their partitions, without a gap, as far as `up_to`; -1 if today's are missing.
WITH there AS MATERIALIZED (SELECT parent, since, until FROM ordinaut.history_partition)
SELECT coalesce(min(day) FILTER (WHERE missing), %(up_to)s::int + 1) - 1 FROM (
    SELECT day, NOT EXISTS (SELECT FROM there WHERE there.parent = parents.parent
                            AND there.since <= (date_trunc('day', now() AT TIME ZONE 'UTC') + day * interval '1 day') AT TIME ZONE 'UTC'
                            AND there.until > (date_trunc('day', now() AT TIME ZONE 'UTC') + day * interval '1 day') AT TIME ZONE 'UTC') AS missing
    FROM generate_series(0, %(up_to)s::int) AS day, unnest(ARRAY['run', 'step', 'event_log']) AS parents (parent)
) ahead;

-- event_backlog --
-- How many rows each reader of the log has still to read, with those that are not in the log yet, and how old the oldest is, in seconds.
-- Positions are counted, not rows: where a transaction has come to nothing, there is a gap.
SELECT c.reader, waiting.count + greatest(coalesce((SELECT max(l.position) FROM event_log l), 0) - c.position, 0),
       coalesce(greatest(extract(epoch FROM now() - least(waiting.oldest, (
           SELECT l.created_at FROM event_log l WHERE l.position > c.position ORDER BY l.position LIMIT 1))), 0), 0)::float8
FROM event_cursor c CROSS JOIN (SELECT count(*) AS count, min(created_at) AS oldest FROM outbox) waiting;

-- database_figures --
-- Age of the oldest transaction that this role may see, in seconds, and the size of the database in bytes.
SELECT (SELECT coalesce(extract(epoch FROM now() - min(xact_start)), 0)::float8 FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()),
       pg_database_size(current_database());
