-- The queue: named queues, and lanes that are served in turns.

-- Names of queues, the same in all namespaces. Work carries the number. One that is negative, -1 - queue, is the same queue's
-- ward: runs whose workers were lost several times, of which a worker has one at a time.
CREATE TABLE queue (
    queue smallint PRIMARY KEY,
    name  text     NOT NULL UNIQUE
);
INSERT INTO queue (queue, name) VALUES (0, 'default');

ALTER TABLE task ADD queue smallint NOT NULL DEFAULT 0 REFERENCES queue;

-- Whose turn it is: runs of a namespace share a lane, its hash. What processes of release 0.1 enqueue while an upgrade is rolled out
-- shares lane 0; they sort what they lease until they are replaced.
ALTER TABLE due_work ADD lane integer NOT NULL DEFAULT 0;
DROP INDEX due_work_ready;
CREATE INDEX due_work_ready ON due_work (queue, urgency, lane, due_at, id);

-- ---------------------------------------------------------------- workers

-- Workers that live: each writes its row with every heartbeat, also when it has nothing to do, and removes it when it has drained.
CREATE TABLE worker (
    name        text        PRIMARY KEY,
    queues      text[]      NOT NULL,                   -- names; '*': all
    slots       int         NOT NULL,
    version     text        NOT NULL,
    started_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT now(),
    live_until  timestamptz NOT NULL,                   -- when its leases run out, if it is never seen again
    draining_at timestamptz                             -- since when it takes no more work
);

-- What autoscalers ask of the workers of some queues, '*' for all: claimable work, and runs under a lease.
CREATE FUNCTION claimable_in(queues text[]) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM ordinaut.due_work d
    WHERE '*' = ANY(queues) OR d.queue IN (SELECT unnest(ARRAY[q.queue, (-1 - q.queue)::smallint]) FROM ordinaut.queue q WHERE q.name = ANY(queues))
$$;
CREATE FUNCTION leased_in(queues text[]) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM ordinaut.work_lease l CROSS JOIN unnest(l.items) i
    WHERE '*' = ANY(queues) OR i.queue IN (SELECT unnest(ARRAY[q.queue, (-1 - q.queue)::smallint]) FROM ordinaut.queue q WHERE q.name = ANY(queues))
$$;

-- How much becomes claimable in some queues within so many seconds, as due_within says it of all.
CREATE FUNCTION due_in(queues text[], seconds integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT (SELECT count(*) FROM ordinaut.task_clock c JOIN ordinaut.task t USING (task_id)
            WHERE c.next_fire_at <= now() + make_interval(secs => seconds)
              AND ('*' = ANY(queues) OR t.queue IN (SELECT q.queue FROM ordinaut.queue q WHERE q.name = ANY(queues))))
         + (SELECT count(*) FROM ordinaut.delayed_work d
            WHERE d.due_at <= now() + make_interval(secs => seconds)
              AND ('*' = ANY(queues) OR d.queue IN (SELECT unnest(ARRAY[q.queue, (-1 - q.queue)::smallint]) FROM ordinaut.queue q WHERE q.name = ANY(queues))))
$$;

-- ---------------------------------------------------------------- concurrency keys

-- The entries of its spec's `concurrency`, each with the key that its own params make of it: [{"source", "limit", "key"}].
ALTER TABLE task ADD keys jsonb NOT NULL DEFAULT '[]';

-- The keys that a run still has to get when it has waited long enough; NULL: none. What processes of release 0.1 move while an
-- upgrade is rolled out goes on without them.
ALTER TABLE delayed_work ADD keys jsonb;
ALTER TABLE queued_work ADD keys jsonb;

-- Runs that may go on but for their concurrency keys. Those of one task with the same keys are one contest: only the first of it by
-- (urgency, id) may go on next, and what holds for it holds for all of them.
CREATE TABLE keyed_work (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id    bigint      NOT NULL,
    namespace  text        NOT NULL,
    keys       jsonb       NOT NULL,                    -- [{"key", "source"}]: rendered, and the text in the spec that it comes from
    contest    uuid        NOT NULL GENERATED ALWAYS AS (md5(keys::text)::uuid) STORED,
    queue      smallint    NOT NULL DEFAULT 0,
    urgency    smallint    NOT NULL CHECK (urgency BETWEEN 0 AND 9),
    attempt    smallint    NOT NULL DEFAULT 1,
    run_id     uuid        NOT NULL,
    started_at timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX keyed_work_contest ON keyed_work (task_id, contest, urgency, id);
CREATE UNIQUE INDEX keyed_work_run ON keyed_work (run_id);

-- Slots: each row takes one of a key of its namespace, from when a run may be claimed until it ends. In the order of `id`.
CREATE TABLE held_key (
    id         bigint      GENERATED ALWAYS AS IDENTITY,
    run_id     uuid        NOT NULL,
    key        text        NOT NULL,
    namespace  text        NOT NULL,
    task_id    bigint      NOT NULL,
    source     text        NOT NULL,
    held_since timestamptz NOT NULL,
    PRIMARY KEY (run_id, key)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX held_key_slots ON held_key (namespace, key, id);

-- Which contests wait for a key, by the first of each. Written by admission only, so that it may lag behind, but forgets none.
CREATE TABLE awaited_key (
    task_id   bigint   NOT NULL,
    contest   uuid     NOT NULL,
    key       text     NOT NULL,
    namespace text     NOT NULL,
    urgency   smallint NOT NULL,
    head      bigint   NOT NULL,
    PRIMARY KEY (task_id, contest, key)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX awaited_key_order ON awaited_key (namespace, key, urgency, head);

-- What admission has to look at: a key of which a slot is free, a contest with new runs, or all contests of a task behind one.
CREATE TABLE key_news (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace text,
    key       text,
    task_id   bigint,
    contest   uuid,
    behind    uuid,
    CHECK ((key IS NULL) = (namespace IS NULL)),
    CHECK (num_nonnulls(key, contest, behind) = 1),
    CHECK ((key IS NULL) = (task_id IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- What runs that end have held goes to others: slots of concurrency keys, which admission then grants, and the turns of their tasks, as do
-- those of the tasks named, whose clocks the caller has locked. A turn passes to the first run that waits if none is under way, to all
-- where the task allows them all by now. Nobody else may pass on a turn, so no task has two. A run that is just being queued by a
-- transaction is missed here; the operator finds it. Returns how many runs got a turn. A function, since every result of a worker
-- comes by here: mostly nothing was held, and then the second half is not even planned.
CREATE FUNCTION pass_on(ended uuid[], of_tasks bigint[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    freed   bigint[];
    waiting record;
BEGIN
    WITH slot AS (
        DELETE FROM ordinaut.held_key WHERE run_id = ANY(ended) RETURNING namespace, key
    )
    INSERT INTO ordinaut.key_news (namespace, key) SELECT DISTINCT namespace, key FROM slot;
    IF FOUND THEN
        PERFORM pg_notify('ordinaut_keys', '');
    END IF;
    WITH turn AS (
        DELETE FROM ordinaut.active_run WHERE run_id = ANY(ended) RETURNING task_id
    )
    SELECT array_agg(DISTINCT task_id) INTO freed FROM turn;
    IF freed IS NULL AND cardinality(of_tasks) = 0 THEN
        RETURN 0;
    END IF;
    WITH free AS (
        SELECT t.task_id, coalesce(t.spec ->> 'concurrencyPolicy', 'Allow') = 'Allow' AS all_at_once
        FROM ordinaut.task t WHERE t.task_id = ANY(freed || of_tasks)
    ), next AS (
        SELECT q.id FROM free CROSS JOIN LATERAL (
            SELECT id FROM ordinaut.queued_work WHERE queued_work.task_id = free.task_id ORDER BY urgency, id
            LIMIT CASE WHEN free.all_at_once THEN NULL ELSE 1 END FOR UPDATE SKIP LOCKED
        ) q
        WHERE free.all_at_once OR NOT EXISTS (SELECT FROM ordinaut.active_run a WHERE a.task_id = free.task_id)
    ), taken AS (
        DELETE FROM ordinaut.queued_work WHERE id = ANY(ARRAY(SELECT id FROM next))
        RETURNING task_id, queue, urgency, due_at, attempt, run_id, started_at, keys
    ), turn AS (
        INSERT INTO ordinaut.active_run (run_id, task_id) SELECT run_id, task_id FROM taken
    ), now_due AS (
        INSERT INTO ordinaut.due_work (queue, urgency, due_at, attempt, run_id, started_at, lane)
        SELECT queue, urgency, now(), attempt, run_id, started_at,
               coalesce((SELECT hashtext(t.namespace) FROM ordinaut.task t WHERE t.task_id = taken.task_id), 0)
        FROM taken WHERE due_at <= now() AND keys IS NULL RETURNING queue
    ), keyed AS (
        INSERT INTO ordinaut.keyed_work (task_id, namespace, keys, queue, urgency, attempt, run_id, started_at)
        SELECT taken.task_id, t.namespace, taken.keys, taken.queue, taken.urgency, taken.attempt, taken.run_id, taken.started_at
        FROM taken JOIN ordinaut.task t USING (task_id) WHERE taken.due_at <= now() AND taken.keys IS NOT NULL RETURNING task_id, contest
    ), news AS (
        INSERT INTO ordinaut.key_news (task_id, contest) SELECT DISTINCT task_id, contest FROM keyed RETURNING id
    ), later AS (
        INSERT INTO ordinaut.delayed_work (queue, urgency, due_at, attempt, run_id, started_at, keys)
        SELECT queue, urgency, due_at, attempt, run_id, started_at, keys FROM taken WHERE due_at > now() RETURNING queue
    )
    SELECT (SELECT count(*) FROM taken) AS runs, ARRAY(SELECT DISTINCT queue FROM now_due) AS queues,
           EXISTS (SELECT FROM later) AS later, EXISTS (SELECT FROM news) AS keyed INTO waiting;
    PERFORM pg_notify('ordinaut_work', queue::text) FROM unnest(waiting.queues) AS queue;
    IF waiting.later THEN
        PERFORM pg_notify('ordinaut_clock', '');
    END IF;
    IF waiting.keyed THEN
        PERFORM pg_notify('ordinaut_keys', '');
    END IF;
    RETURN waiting.runs;
END $$;

-- Every unfinished run: each is in exactly one of the five tables in any snapshot.
CREATE OR REPLACE VIEW live_work AS
    SELECT run_id FROM due_work UNION ALL SELECT run_id FROM delayed_work UNION ALL SELECT run_id FROM queued_work
    UNION ALL SELECT run_id FROM leased_work UNION ALL SELECT run_id FROM keyed_work;

-- ---------------------------------------------------------------- partitions of the history

-- When a UUIDv7 was made.
CREATE FUNCTION uuid7_time(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
$$;

-- The partitions of runs, steps and events with the span of time that each holds, but for those of last resort.
CREATE VIEW history_partition AS
    SELECT parent, name, CASE parent WHEN 'event_log' THEN low::timestamptz ELSE ordinaut.uuid7_time(low::uuid) END AS since,
           CASE parent WHEN 'event_log' THEN high::timestamptz ELSE ordinaut.uuid7_time(high::uuid) END AS until
    FROM (SELECT p.relname::text AS parent, c.relname::text AS name,
                 substring(pg_get_expr(c.relpartbound, c.oid) FROM $$FROM \('([^']*)'\)$$) AS low,
                 substring(pg_get_expr(c.relpartbound, c.oid) FROM $$TO \('([^']*)'\)$$) AS high
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
          WHERE i.inhparent IN ('ordinaut.run'::regclass, 'ordinaut.step'::regclass, 'ordinaut.event_log'::regclass)) bound
    WHERE low IS NOT NULL AND high IS NOT NULL;

-- Lock a table of the history for a moment, so that nobody has to wait for long: while somebody else waits for it, all others queue
-- behind. A transaction that has lasted for over a second is not waited for at all; the caller comes again. The janitor has the setting
-- ordinaut.patience say when it may take a little longer.
CREATE FUNCTION lock_history(relation text) RETURNS void LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
               WHERE l.granted AND l.relation = to_regclass('ordinaut.' || quote_ident(lock_history.relation))
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - interval '1 second') THEN
        RAISE lock_not_available USING MESSAGE = format('a long transaction has read or written ordinaut.%s', relation);
    END IF;
    PERFORM set_config('lock_timeout', coalesce(nullif(current_setting('ordinaut.patience', true), ''), '100ms'), true);
    EXECUTE format('LOCK TABLE ONLY ordinaut.%I IN ACCESS EXCLUSIVE MODE', relation);
END $$;

-- Make one day's partition of `parent`, whose key column is `key`, and move into it what was written before it was there. While the
-- partition of last resort is locked, there is nothing to do but to move these rows; everything else is done before.
CREATE OR REPLACE FUNCTION add_partition(parent text, key text, name text, since text, until text, fillfactor int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('LOCK TABLE ONLY ordinaut.%I IN SHARE UPDATE EXCLUSIVE MODE', parent);
    EXECUTE format('CREATE TABLE ordinaut.%I (LIKE ordinaut.%I INCLUDING ALL) WITH (fillfactor = %s)', name, parent, fillfactor);
    PERFORM ordinaut.lock_history(parent || '_rest');
    EXECUTE format('WITH moved AS (DELETE FROM ordinaut.%I WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO ordinaut.%I SELECT * FROM moved',
                   parent || '_rest', key, since, key, until, name);
    EXECUTE format('ALTER TABLE ordinaut.%I ATTACH PARTITION ordinaut.%I FOR VALUES FROM (%L) TO (%L)', parent, name, since, until);
END $$;

-- Make the partition of `parent` for a day (UTC), unless one holds a part of that day already; tells whether it was made.
CREATE FUNCTION ensure_partition(parent text, day date) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '4s' SET timezone = 'UTC' AS $$
DECLARE
    name   text := parent || '_' || to_char(day, 'YYYYMMDD');
    begins timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends   timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ordinaut.partitions', 0));
    IF EXISTS (SELECT FROM ordinaut.history_partition p
               WHERE p.parent = ensure_partition.parent AND p.since < ends AND p.until > begins) THEN
        RETURN false;
    END IF;
    CASE parent
        WHEN 'run' THEN
            PERFORM ordinaut.add_partition(parent, 'run_id', name, ordinaut.uuid7_floor(begins)::text, ordinaut.uuid7_floor(ends)::text, 40);
        WHEN 'step' THEN
            PERFORM ordinaut.add_partition(parent, 'run_id', name, ordinaut.uuid7_floor(begins)::text, ordinaut.uuid7_floor(ends)::text, 100);
        WHEN 'event_log' THEN
            PERFORM ordinaut.add_partition(parent, 'created_at', name, begins::text, ends::text, 100);
    END CASE;
    RETURN true;
END $$;

-- Make the day partitions from first_day to last_day (UTC) that don't exist yet; returns how many. By hand, and for processes of
-- release 0.1; the janitor makes one at a time.
CREATE OR REPLACE FUNCTION ensure_partitions(first_day date, last_day date) RETURNS int LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
DECLARE
    day    date;
    parent text;
    made   int := 0;
BEGIN
    FOR day IN SELECT generate_series(first_day, last_day, interval '1 day')::date LOOP
        FOREACH parent IN ARRAY ARRAY['run', 'step', 'event_log'] LOOP
            made := made + ordinaut.ensure_partition(parent, day)::int;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

-- Drop a partition of `parent`, but not one that holds runs that have not ended, nor the steps of runs that are still there; tells
-- whether it was dropped.
CREATE FUNCTION drop_partition(parent text, partition text) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '4s' SET timezone = 'UTC' AS $$
DECLARE
    begins timestamptz;
    ends   timestamptz;
BEGIN
    -- Whoever brings a run back to life holds this lock too: none that ends here is doing so just now.
    PERFORM pg_advisory_xact_lock(hashtextextended('ordinaut.partitions', 0));
    SELECT p.since, p.until INTO begins, ends FROM ordinaut.history_partition p WHERE p.parent = drop_partition.parent AND p.name = partition;
    IF NOT FOUND
       OR parent <> 'event_log' AND EXISTS (SELECT FROM ordinaut.live_work
                                            WHERE run_id >= ordinaut.uuid7_floor(begins) AND run_id < ordinaut.uuid7_floor(ends))
       OR parent = 'step' AND EXISTS (SELECT FROM ordinaut.history_partition p
                                      WHERE p.parent = 'run' AND p.since < ends AND p.until > begins) THEN
        RETURN false;
    END IF;
    -- Whoever uses a partition holds its parent too. So only the first of these can be held, and nobody waits for all three.
    PERFORM ordinaut.lock_history(parent);
    EXECUTE format('LOCK TABLE ONLY ordinaut.%I, ONLY ordinaut.%I IN ACCESS EXCLUSIVE MODE NOWAIT', partition, parent || '_rest');
    EXECUTE format('DROP TABLE ordinaut.%I', partition);
    RETURN true;
END $$;

-- Drop the partitions of `parent` that end at or before `oldest` (UTC), as drop_partition allows; returns how many. By hand, and for
-- processes of release 0.1; the janitor drops one at a time.
CREATE OR REPLACE FUNCTION drop_partitions(parent text, oldest date) RETURNS int LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
DECLARE
    partition text;
    dropped   int := 0;
BEGIN
    FOR partition IN
        SELECT p.name FROM ordinaut.history_partition p
        WHERE p.parent = drop_partitions.parent AND p.until <= oldest::timestamp AT TIME ZONE 'UTC' ORDER BY p.since
    LOOP
        dropped := dropped + ordinaut.drop_partition(parent, partition)::int;
    END LOOP;
    RETURN dropped;
END $$;

-- A partition of last resort that has grown large is not emptied, since moving its rows would hold locks: it is made a partition of
-- its own, and a new one takes its place. PostgreSQL must know beforehand that all of its rows belong there, or it would look at each
-- while it holds the locks. This is the first step: what is written from now on lies within these bounds. `until` must be far enough
-- ahead that nobody writes anything beyond it before the last step.
CREATE FUNCTION bound_rest(parent text, since timestamptz, until timestamptz) RETURNS void LANGUAGE plpgsql
SET lock_timeout = '4s' SET timezone = 'UTC' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ordinaut.partitions', 0));
    PERFORM ordinaut.lock_history(parent || '_rest');
    EXECUTE format('ALTER TABLE ordinaut.%I DROP CONSTRAINT IF EXISTS rest_bounds', parent || '_rest');
    IF parent = 'event_log' THEN
        EXECUTE format('ALTER TABLE ordinaut.event_log_rest ADD CONSTRAINT rest_bounds CHECK (created_at >= %L AND created_at < %L) NOT VALID', since, until);
    ELSE
        EXECUTE format('ALTER TABLE ordinaut.%I ADD CONSTRAINT rest_bounds CHECK (run_id >= %L AND run_id < %L) NOT VALID',
                       parent || '_rest', ordinaut.uuid7_floor(since), ordinaut.uuid7_floor(until));
    END IF;
END $$;

-- The second step, which takes its time: what was written before does so, too. Everybody may read and write meanwhile.
CREATE FUNCTION check_rest(parent text) RETURNS void LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
BEGIN
    EXECUTE format('ALTER TABLE ordinaut.%I VALIDATE CONSTRAINT rest_bounds', parent || '_rest');
END $$;

-- The last step: the partition of last resort becomes that of since to until, named by its last day.
CREATE FUNCTION swap_rest(parent text, since timestamptz, until timestamptz) RETURNS void LANGUAGE plpgsql
SET lock_timeout = '4s' SET timezone = 'UTC' AS $$
DECLARE
    name      text := parent || '_' || to_char(until - interval '1 day', 'YYYYMMDD');
    rest      text := parent || '_rest';
    events    boolean := parent = 'event_log';
    low       text := CASE WHEN events THEN since::text ELSE ordinaut.uuid7_floor(since)::text END;
    high      text := CASE WHEN events THEN until::text ELSE ordinaut.uuid7_floor(until)::text END;
    old_index text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ordinaut.partitions', 0));
    PERFORM ordinaut.lock_history(parent);
    EXECUTE format('LOCK TABLE ONLY ordinaut.%I IN ACCESS EXCLUSIVE MODE NOWAIT', rest);
    EXECUTE format('ALTER TABLE ordinaut.%I DETACH PARTITION ordinaut.%I', parent, rest);
    FOR old_index IN SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                     WHERE i.indrelid = to_regclass('ordinaut.' || rest) AND starts_with(c.relname, rest || '_') LOOP
        EXECUTE format('ALTER INDEX ordinaut.%I RENAME TO %I', old_index, name || substr(old_index, length(rest) + 1));
    END LOOP;
    EXECUTE format('ALTER TABLE ordinaut.%I RENAME TO %I', rest, name);
    EXECUTE format('ALTER TABLE ordinaut.%I ATTACH PARTITION ordinaut.%I FOR VALUES FROM (%L) TO (%L)', parent, name, low, high);
    EXECUTE format('ALTER TABLE ordinaut.%I DROP CONSTRAINT rest_bounds', name);
    EXECUTE format('CREATE TABLE ordinaut.%I PARTITION OF ordinaut.%I DEFAULT WITH (fillfactor = %s)', rest, parent,
                   CASE WHEN parent = 'run' THEN 40 ELSE 100 END);
END $$;

-- Take the bounds of a partition of last resort back, where the last step did not come.
CREATE FUNCTION free_rest(parent text) RETURNS void LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ordinaut.partitions', 0));
    PERFORM ordinaut.lock_history(parent || '_rest');
    EXECUTE format('ALTER TABLE ordinaut.%I DROP CONSTRAINT IF EXISTS rest_bounds', parent || '_rest');
END $$;
