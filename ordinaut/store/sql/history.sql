-- list_partitions --
-- The partitions of runs, steps and events, but for those of last resort.
SELECT parent, name, since, until FROM ordinaut.history_partition ORDER BY parent, since;

-- today --
-- The day that it is, in UTC.
SELECT (now() AT TIME ZONE 'UTC')::date;

-- strays --
-- What is in the partitions of last resort: how many rows, counted up to a limit, of which days, and whether bounds were left behind
-- there. The days are found by jumping from one to the next in the index. What has a key beyond all calendars is of the last day.
WITH RECURSIVE rest AS (
    SELECT * FROM (VALUES
        ('run', (SELECT count(*) FROM (SELECT FROM ordinaut.run_rest LIMIT %(limit)s) x), 'ordinaut.run_rest'::regclass),
        ('step', (SELECT count(*) FROM (SELECT FROM ordinaut.step_rest LIMIT %(limit)s) x), 'ordinaut.step_rest'),
        ('event_log', (SELECT count(*) FROM (SELECT FROM ordinaut.event_log_rest LIMIT %(limit)s) x), 'ordinaut.event_log_rest')
    ) AS x (parent, rows, oid)
), stray (parent, day) AS (
    SELECT parent, '-infinity'::date FROM rest WHERE rows > 0
    UNION ALL
    SELECT parent, (CASE parent
        WHEN 'run' THEN (SELECT least(ordinaut.uuid7_time(run_id), '9999-01-01 00:00:00+00') FROM ordinaut.run_rest
                         WHERE run_id >= ordinaut.uuid7_floor(greatest(day + 1, 'epoch')::timestamp AT TIME ZONE 'UTC') ORDER BY run_id LIMIT 1)
        WHEN 'step' THEN (SELECT least(ordinaut.uuid7_time(run_id), '9999-01-01 00:00:00+00') FROM ordinaut.step_rest
                          WHERE run_id >= ordinaut.uuid7_floor(greatest(day + 1, 'epoch')::timestamp AT TIME ZONE 'UTC') ORDER BY run_id LIMIT 1)
        ELSE (SELECT least(created_at, '9999-01-01 00:00:00+00') FROM ordinaut.event_log_rest
              WHERE created_at >= greatest(day + 1, 'epoch')::timestamp AT TIME ZONE 'UTC' ORDER BY created_at LIMIT 1)
    END AT TIME ZONE 'UTC')::date
    FROM stray WHERE day IS NOT NULL AND day < '9999-01-01'
)
SELECT parent, rows, ARRAY(SELECT day FROM stray WHERE stray.parent = rest.parent AND day > '-infinity' ORDER BY day),
       EXISTS (SELECT FROM pg_constraint WHERE conrelid = rest.oid AND conname = 'rest_bounds')
FROM rest;

-- be_patient --
-- How long this connection waits for locks on tables of the history, from now on.
SELECT set_config('ordinaut.patience', %(patience)s, false);

-- make_partition --
-- Make a day's partition, unless it is there; tells whether it was made.
SELECT ordinaut.ensure_partition(%(parent)s, %(day)s::date);

-- drop_partition --
-- Drop a partition, unless something in it is needed; tells whether it was dropped.
SELECT ordinaut.drop_partition(%(parent)s, %(name)s);

-- bound_rest --
-- Say which rows a partition of last resort may be given from now on.
SELECT ordinaut.bound_rest(%(parent)s, %(since)s, %(until)s);

-- take_time --
-- Let the next statement of the transaction take as long as it takes.
SELECT set_config('statement_timeout', '0', true);

-- check_rest --
-- See that the rows that a partition of last resort was given before are such, too.
SELECT ordinaut.check_rest(%(parent)s);

-- swap_rest --
-- Make the partition of last resort that of a span of time, and have a new one in its place.
SELECT ordinaut.swap_rest(%(parent)s, %(since)s, %(until)s);

-- free_rest --
-- Let a partition of last resort be given any rows again.
SELECT ordinaut.free_rest(%(parent)s);

-- hold_partitions --
-- Keep partitions from being dropped until the transaction ends.
SELECT pg_advisory_xact_lock_shared(hashtextextended('ordinaut.partitions', 0));
