-- The whole schema as all migrations leave it, to be read; a test proves it equal. `ordinaut migrate` applies migrations/.

CREATE SCHEMA ordinaut;
SET search_path = ordinaut;

-- ---------------------------------------------------------------- declared objects

-- An identity that has made tasks through the API; thousands of tasks share one.
CREATE TABLE creator (
    creator_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest     bytea  NOT NULL UNIQUE,   -- SHA-256 of the identity
    identity   jsonb  NOT NULL
);

CREATE TABLE task (
    task_id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace    text        NOT NULL,
    name         text        NOT NULL,
    origin       text        NOT NULL CHECK (origin IN ('Kubernetes', 'Directory', 'API')),
    uid          text        NOT NULL,
    generation   bigint      NOT NULL,
    spec         jsonb       NOT NULL,
    pipeline_ref text,                                  -- NULL: the pipeline stands in the spec
    tool_refs    text[]      NOT NULL DEFAULT '{}',     -- tools of a pipeline that stands in the spec
    invalid      text,                                  -- why the spec can't be used; NULL: it can
    ready        boolean     NOT NULL DEFAULT false,
    reason       text        NOT NULL DEFAULT 'Pending',
    message      text        NOT NULL DEFAULT '',
    revision     bytea,                                 -- pipeline_revision that the next run will pin
    params       jsonb       NOT NULL DEFAULT '{}',     -- of the next run: the spec's, with the pipeline's defaults
    anchor       timestamptz NOT NULL,                  -- DTSTART and interval origin where the spec gives none; never recomputed
    updated_at   timestamptz NOT NULL DEFAULT now(),
    deleted_at   timestamptz,                           -- a deleted task stays for the names in its history
    creator_id    bigint      REFERENCES creator,           -- whose rights its runs need; NULL: it needs none
    paused_at     timestamptz,                              -- overlay: like `suspend`, but not part of the spec
    paused_by     text,
    snoozed_until timestamptz,                              -- overlay: what is due before then starts then
    snoozed_by    text,
    labels        jsonb       NOT NULL DEFAULT '{}',        -- of objects made through the API
    annotations   jsonb       NOT NULL DEFAULT '{}',
    version       bigint      NOT NULL DEFAULT 1,           -- counts the changes of spec, labels, annotations and overlay
    CHECK (ready = (revision IS NOT NULL)),
    CHECK ((paused_at IS NULL) = (paused_by IS NULL)),
    CHECK ((snoozed_until IS NULL) = (snoozed_by IS NULL))
);
CREATE UNIQUE INDEX task_name ON task (namespace, name) WHERE deleted_at IS NULL;
CREATE INDEX task_pipeline ON task (namespace, pipeline_ref) WHERE deleted_at IS NULL;
CREATE INDEX task_api ON task (namespace) WHERE origin = 'API' AND deleted_at IS NULL;  -- what a quota counts

CREATE TABLE pipeline (
    namespace  text        NOT NULL,
    name       text        NOT NULL,
    origin     text        NOT NULL CHECK (origin IN ('Kubernetes', 'Directory', 'API')),
    uid        text        NOT NULL,
    generation bigint      NOT NULL,
    spec       jsonb       NOT NULL,
    tool_refs  text[]      NOT NULL DEFAULT '{}',
    invalid    text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    labels      jsonb       NOT NULL DEFAULT '{}',
    annotations jsonb       NOT NULL DEFAULT '{}',
    version     bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, name)
);

CREATE TABLE tool (
    namespace  text        NOT NULL,
    name       text        NOT NULL,
    origin     text        NOT NULL CHECK (origin IN ('Kubernetes', 'Directory', 'API')),
    uid        text        NOT NULL,
    generation bigint      NOT NULL,
    spec       jsonb       NOT NULL,
    invalid    text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    labels      jsonb       NOT NULL DEFAULT '{}',
    annotations jsonb       NOT NULL DEFAULT '{}',
    version     bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, name)
);

-- What a run executes, immutable and named by its content: editing a pipeline makes another row.
CREATE TABLE pipeline_revision (
    digest     bytea       PRIMARY KEY,
    body       jsonb       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- ---------------------------------------------------------------- time

-- Narrow and hot: firing rewrites this row, not the wide one of the task.
CREATE TABLE task_clock (
    task_id      bigint      PRIMARY KEY REFERENCES task ON DELETE CASCADE,
    schedule_key bytea       NOT NULL,  -- digest of everything that decides the nominal times
    evaluated_at timestamptz NOT NULL,  -- each nominal time up to here is in the ledger
    as_of        timestamptz,           -- while a backlog is decided in parts: when it was found
    kept         int         NOT NULL DEFAULT 0,  -- of that backlog: how many times fired so far
    next_fire_at timestamptz,           -- NULL: suspended, or no time is left
    tzdata       text        NOT NULL,  -- version of the time zone data that next_fire_at was computed with
    unauthorized_at timestamptz,        -- since when its creator may no longer run the task
    counted_from timestamptz NOT NULL DEFAULT now()  -- since when the present schedules and time zone data have counted: nominal
                                        -- times in (counted_from, evaluated_at] can be computed anew, and each must be in the ledger
);
CREATE INDEX task_clock_due ON task_clock (next_fire_at) WHERE next_fire_at IS NOT NULL;

-- Processes of release 0.1 start clocks too while an upgrade is rolled out, and know nothing of counted_from. They leave evaluated_at
-- and schedule_key alone only where a clock merely goes on. Firing sets no schedule_key, so it never comes by here.
CREATE FUNCTION count_anew() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.counted_from := NEW.evaluated_at;
    RETURN NEW;
END $$;
CREATE TRIGGER count_anew BEFORE UPDATE OF schedule_key ON task_clock FOR EACH ROW
    WHEN (NEW.counted_from = OLD.counted_from AND (NEW.schedule_key, NEW.evaluated_at) IS DISTINCT FROM (OLD.schedule_key, OLD.evaluated_at))
    EXECUTE FUNCTION count_anew();

-- The ledger. Law: nominal times up to evaluated_at = fired + skipped.
CREATE TABLE fire (
    task_id      bigint      NOT NULL,
    scheduled_at timestamptz NOT NULL,
    outcome      text        NOT NULL CHECK (outcome IN ('Fired', 'Skipped')),
    reason       text        CHECK (reason IN ('DeadlineExceeded', 'NotCaughtUp', 'Coalesced', 'CatchUpLimit',
                                               'StillRunning', 'QueueFull', 'NotReady', 'Unauthorized')),
    run_id       uuid,
    decided_at   timestamptz NOT NULL DEFAULT now(),
    backfill_id  uuid,                  -- the backfill that made up for this time; NULL: it was fired or skipped when it came
    PRIMARY KEY (task_id, scheduled_at),
    CHECK ((outcome = 'Fired') = (run_id IS NOT NULL)),
    CHECK ((outcome = 'Skipped') = (reason IS NOT NULL))
);

-- Missing fires of a past window that somebody wants to have made up for.
CREATE TABLE backfill (
    backfill_id  uuid        PRIMARY KEY,               -- UUIDv7
    task_id      bigint      NOT NULL,
    schedule_key bytea       NOT NULL,                  -- of the schedules whose times it makes up for
    from_at      timestamptz NOT NULL,                  -- the window, both ends included
    to_at        timestamptz NOT NULL,
    evaluated_at timestamptz NOT NULL,                  -- each nominal time of the window up to here has been dealt with
    max_active   int         NOT NULL CHECK (max_active BETWEEN 1 AND 1000),
    times        int         NOT NULL,                  -- nominal times of the window when it was asked for,
    missing      int         NOT NULL,                  -- and those of them that had not fired
    made         int         NOT NULL DEFAULT 0,        -- runs
    waiting      text        CHECK (waiting IN ('StillRunning', 'NotReady', 'Unauthorized')),  -- why none is made for now
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text        NOT NULL,
    finished_at  timestamptz,                           -- no more runs are made; those under way may go on
    reason       text        CHECK (reason IN ('Completed', 'Cancelled', 'ScheduleChanged', 'TaskDeleted')),
    CHECK (from_at <= to_at),
    CHECK ((finished_at IS NULL) = (reason IS NULL))
);
CREATE INDEX backfill_task ON backfill (task_id, backfill_id);
CREATE INDEX backfill_open ON backfill (backfill_id) WHERE finished_at IS NULL;

-- Runs of open backfills that had not ended when they were last looked at.
CREATE TABLE backfill_run (
    run_id      uuid PRIMARY KEY,
    backfill_id uuid NOT NULL REFERENCES backfill ON DELETE CASCADE
);
CREATE INDEX backfill_run_of ON backfill_run (backfill_id);

-- ---------------------------------------------------------------- history

-- The smallest UUIDv7 of an instant: partitions are ranges of run_id itself, so that the key stays run_id and look-ups prune.
CREATE FUNCTION uuid7_floor(instant timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM instant) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- No index mentions phase, and the pages are filled to 40 %: the one update of a run stays HOT.
CREATE TABLE run (
    run_id       uuid        PRIMARY KEY,
    namespace    text        NOT NULL,
    task_id      bigint      NOT NULL,
    revision     bytea       NOT NULL,
    trigger      text        NOT NULL CHECK (trigger IN ('schedule', 'manual', 'retry', 'backfill')),
    scheduled_at timestamptz,
    priority     smallint    NOT NULL CHECK (priority BETWEEN 0 AND 9),
    phase        text        NOT NULL DEFAULT 'Pending'
                             CHECK (phase IN ('Pending', 'Waiting', 'Succeeded', 'Failed', 'Cancelled', 'TimedOut', 'Parked')),
    attempt      smallint    NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    params       jsonb       NOT NULL DEFAULT '{}',
    output       jsonb,
    reason       text,
    error        text,
    retry_of     uuid,                                  -- the run that a retry goes on from
    CHECK ((finished_at IS NOT NULL) = (phase IN ('Succeeded', 'Failed', 'Cancelled', 'TimedOut', 'Parked')))
) PARTITION BY RANGE (run_id);
CREATE INDEX run_task ON run (task_id, run_id);
CREATE INDEX run_namespace ON run (namespace, run_id);

CREATE TABLE step (
    run_id      uuid        NOT NULL,
    seq         smallint    NOT NULL,
    idx         int         NOT NULL DEFAULT 0,
    step_id     text        NOT NULL,
    phase       text        NOT NULL
                            CHECK (phase IN ('Waiting', 'Succeeded', 'Failed', 'Skipped', 'Cancelled', 'TimedOut', 'Unknown')),
    attempt     smallint    NOT NULL DEFAULT 1,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    output      jsonb,
    error       text,
    tool_digest bytea,
    PRIMARY KEY (run_id, seq, idx),
    CHECK ((finished_at IS NULL) = (phase = 'Waiting'))
) PARTITION BY RANGE (run_id);

-- Rows of a day that nobody made a partition for; should stay empty (the janitor makes partitions days ahead).
CREATE TABLE run_rest PARTITION OF run DEFAULT WITH (fillfactor = 40);
CREATE TABLE step_rest PARTITION OF step DEFAULT;

-- ---------------------------------------------------------------- the queue

-- Claimable work only. `urgency` is 9 - priority, so that one ascending key orders everything.
CREATE TABLE due_work (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue      smallint    NOT NULL DEFAULT 0,
    urgency    smallint    NOT NULL CHECK (urgency BETWEEN 0 AND 9),
    due_at     timestamptz NOT NULL DEFAULT now(),
    attempt    smallint    NOT NULL DEFAULT 1,      -- which delivery of the run the next lease is
    run_id     uuid        NOT NULL,
    started_at timestamptz                          -- when the run's first delivery began; NULL: it never has
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX due_work_ready ON due_work (queue, urgency, due_at, id);

-- Work that may not start before due_at; moved to due_work when it is due.
CREATE TABLE delayed_work (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue      smallint    NOT NULL DEFAULT 0,
    urgency    smallint    NOT NULL CHECK (urgency BETWEEN 0 AND 9),
    due_at     timestamptz NOT NULL,
    attempt    smallint    NOT NULL DEFAULT 1,
    run_id     uuid        NOT NULL,
    started_at timestamptz
);
CREATE INDEX delayed_work_due ON delayed_work (due_at);
CREATE UNIQUE INDEX delayed_work_run ON delayed_work (run_id);

-- Runs of tasks with concurrencyPolicy Queue that wait for the one before them. Only the first by (urgency, id) may get the
-- turn, which is a row of active_run.
CREATE TABLE queued_work (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id    bigint      NOT NULL,
    queue      smallint    NOT NULL DEFAULT 0,
    urgency    smallint    NOT NULL CHECK (urgency BETWEEN 0 AND 9),
    due_at     timestamptz NOT NULL,                    -- it does not start before, even if it has the turn
    attempt    smallint    NOT NULL DEFAULT 1,
    run_id     uuid        NOT NULL,
    started_at timestamptz
);
CREATE INDEX queued_work_turn ON queued_work (task_id, urgency, id);
CREATE UNIQUE INDEX queued_work_run ON queued_work (run_id);

CREATE TYPE work_item AS (
    id         bigint,
    queue      smallint,
    urgency    smallint,
    due_at     timestamptz,
    attempt    smallint,
    run_id     uuid,
    started_at timestamptz
);

-- One row per leased batch. Its key is the fencing token: exactly one of settle and reaper gets the row.
CREATE TABLE work_lease (
    lease_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    worker       text        NOT NULL,
    leased_at    timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz NOT NULL,
    items        work_item[] NOT NULL
);
CREATE INDEX work_lease_until ON work_lease (leased_until);

-- Unfinished runs of tasks that allow only one at a time (concurrencyPolicy Forbid or Replace), and those that have the turn (Queue).
CREATE TABLE active_run (
    run_id  uuid   PRIMARY KEY,
    task_id bigint NOT NULL
);
CREATE INDEX active_run_task ON active_run (task_id);

-- Which runs are running, under whom, and since when.
CREATE VIEW leased_work AS
    SELECT item.run_id, lease.lease_id, lease.worker, coalesce(item.started_at, lease.leased_at) AS started_at
    FROM work_lease lease CROSS JOIN unnest(lease.items) item;

-- Every unfinished run: each is in exactly one of the four tables in any snapshot.
CREATE VIEW live_work AS
    SELECT run_id FROM due_work UNION ALL SELECT run_id FROM delayed_work UNION ALL SELECT run_id FROM queued_work
    UNION ALL SELECT run_id FROM leased_work;

-- What autoscalers ask. An autoscaler's role needs USAGE of the schema and nothing else: the functions run with the rights of
-- their owner, which is why their search path is fixed, and tell a number that is never NULL.

-- Claimable work: how many runs a worker could take now.
CREATE FUNCTION claimable(for_queue smallint DEFAULT 0) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM ordinaut.due_work WHERE queue = for_queue
$$;

-- Runs under a lease: what keeps workers busy. By claimable work alone, an autoscaler would take workers away as soon as
-- they have taken all of it.
CREATE FUNCTION leased() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(cardinality(items)), 0)::bigint FROM ordinaut.work_lease
$$;

-- How much becomes claimable within so many seconds: tasks that fire, overdue ones too, and runs whose wait is over.
CREATE FUNCTION due_within(seconds integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT (SELECT count(*) FROM ordinaut.task_clock WHERE next_fire_at <= now() + make_interval(secs => seconds))
         + (SELECT count(*) FROM ordinaut.delayed_work WHERE due_at <= now() + make_interval(secs => seconds))
$$;

-- ---------------------------------------------------------------- events out

-- One compact row per transaction that changed something; the relay expands it and moves it to event_log.
CREATE TABLE outbox (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    events     json        NOT NULL,
    about      text[]      NOT NULL DEFAULT '{}'        -- `namespace` and `namespace/type` of each: what tenants look for
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE event_log (
    created_at timestamptz NOT NULL,
    id         bigint      NOT NULL,
    events     json        NOT NULL,
    about      text[]      NOT NULL DEFAULT '{}',
    PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);
CREATE INDEX event_log_id ON event_log (id);
CREATE INDEX event_log_about ON event_log USING gin (about);
CREATE TABLE event_log_rest PARTITION OF event_log DEFAULT;

CREATE TABLE audit (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    actor     text        NOT NULL,
    verb      text        NOT NULL,
    namespace text        NOT NULL,
    object    text        NOT NULL,
    decision  text        NOT NULL CHECK (decision IN ('Allowed', 'Denied')),
    detail    jsonb,
    request_id text
);
CREATE INDEX audit_namespace ON audit (namespace, id);

-- Answers to requests with an Idempotency-Key, written in the transaction of what they did.
CREATE TABLE idempotency (
    namespace  text        NOT NULL,
    caller     text        NOT NULL,
    route      text        NOT NULL,
    key        text        NOT NULL,
    digest     bytea       NOT NULL,                    -- SHA-256 of path, query and body
    created_at timestamptz NOT NULL DEFAULT now(),
    status     smallint,                                -- NULL only within that transaction
    headers    jsonb,
    body       bytea,
    PRIMARY KEY (namespace, caller, route, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- ---------------------------------------------------------------- partitions

-- Make one day's partition of `parent`, whose key column is `key`, and move into it what was written before it was there.
CREATE FUNCTION add_partition(parent text, key text, name text, since text, until text, fillfactor int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE ordinaut.%I (LIKE ordinaut.%I INCLUDING ALL) WITH (fillfactor = %s)', name, parent, fillfactor);
    EXECUTE format('LOCK TABLE ordinaut.%I IN ACCESS EXCLUSIVE MODE', parent || '_rest');
    EXECUTE format('WITH moved AS (DELETE FROM ordinaut.%I WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO ordinaut.%I SELECT * FROM moved',
                   parent || '_rest', key, since, key, until, name);
    EXECUTE format('ALTER TABLE ordinaut.%I ATTACH PARTITION ordinaut.%I FOR VALUES FROM (%L) TO (%L)', parent, name, since, until);
END $$;

-- Make the day partitions from first_day to last_day (UTC) that don't exist yet; returns how many days were made.
CREATE FUNCTION ensure_partitions(first_day date, last_day date) RETURNS int LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
DECLARE
    day   date;
    since timestamptz;
    until timestamptz;
    made  int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ordinaut.partitions', 0));
    FOR day IN SELECT generate_series(first_day, last_day, interval '1 day')::date LOOP
        CONTINUE WHEN to_regclass(format('ordinaut.run_%s', to_char(day, 'YYYYMMDD'))) IS NOT NULL;
        since := day::timestamp AT TIME ZONE 'UTC';
        until := (day + 1)::timestamp AT TIME ZONE 'UTC';
        PERFORM ordinaut.add_partition('run', 'run_id', 'run_' || to_char(day, 'YYYYMMDD'),
                                       ordinaut.uuid7_floor(since)::text, ordinaut.uuid7_floor(until)::text, 40);
        PERFORM ordinaut.add_partition('step', 'run_id', 'step_' || to_char(day, 'YYYYMMDD'),
                                       ordinaut.uuid7_floor(since)::text, ordinaut.uuid7_floor(until)::text, 100);
        PERFORM ordinaut.add_partition('event_log', 'created_at', 'event_log_' || to_char(day, 'YYYYMMDD'), since::text, until::text, 100);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Drop the day partitions of `parent` that end at or before `oldest` (UTC), but for days with runs that have not ended; returns how
-- many were dropped.
CREATE FUNCTION drop_partitions(parent text, oldest date) RETURNS int LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
DECLARE
    partition text;
    day       date;
    dropped   int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ordinaut.partitions', 0));
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass('ordinaut.' || quote_ident(parent))
          AND c.relname ~ '_[0-9]{8}$' AND right(c.relname, 8) < to_char(oldest, 'YYYYMMDD')
    LOOP
        day := to_date(right(partition, 8), 'YYYYMMDD');
        CONTINUE WHEN parent <> 'event_log' AND EXISTS (
            SELECT FROM ordinaut.live_work
            WHERE run_id >= ordinaut.uuid7_floor(day::timestamp AT TIME ZONE 'UTC')
              AND run_id < ordinaut.uuid7_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
        EXECUTE format('DROP TABLE ordinaut.%I', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- What is known of live tasks. Runs are looked for among the newest 50 of each only: nobody waits for a count of a backlog.
CREATE VIEW task_standing AS
    SELECT t.task_id, t.namespace, t.name, t.origin, t.uid, t.generation, t.version, t.labels, t.annotations, t.updated_at, t.spec, t.anchor,
           t.invalid, t.ready, t.reason, t.message, t.paused_at, t.paused_by,
           CASE WHEN t.snoozed_until > now() THEN t.snoozed_until END AS snoozed_until,
           CASE WHEN t.snoozed_until > now() THEN t.snoozed_by END AS snoozed_by,
           (SELECT i.identity ->> 'user' FROM creator i WHERE i.creator_id = t.creator_id) AS creator,
           c.unauthorized_at, c.next_fire_at, c.evaluated_at,
           (SELECT f.scheduled_at FROM fire f WHERE f.task_id = t.task_id AND f.outcome = 'Fired' ORDER BY f.scheduled_at DESC LIMIT 1)
               AS last_schedule_at,
           recent.active, recent.last_success_at, r.run_id, r.trigger AS run_trigger, r.scheduled_at AS run_scheduled_at,
           CASE WHEN r.finished_at IS NULL AND w.run_id IS NOT NULL THEN 'Running' ELSE r.phase END AS run_phase,
           coalesce(r.started_at, w.started_at) AS run_started_at, r.finished_at AS run_finished_at, r.reason AS run_reason, now() AS now
    FROM task t LEFT JOIN task_clock c USING (task_id)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE n.finished_at IS NULL) AS active, (array_agg(n.run_id))[1] AS newest,
               max(n.finished_at) FILTER (WHERE n.phase = 'Succeeded') AS last_success_at
        FROM (SELECT run_id, phase, finished_at FROM run WHERE run.task_id = t.task_id ORDER BY run.run_id DESC LIMIT 50) n
    ) recent
    LEFT JOIN run r ON r.run_id = recent.newest
    LEFT JOIN leased_work w ON w.run_id = r.run_id AND r.finished_at IS NULL
    WHERE t.deleted_at IS NULL;
