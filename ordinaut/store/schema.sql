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

-- Names of queues, the same in all namespaces. Work carries the number. One that is negative, -1 - queue, is the same queue's
-- ward: runs whose workers were lost several times, of which a worker has one at a time.
CREATE TABLE queue (
    queue smallint PRIMARY KEY,
    name  text     NOT NULL UNIQUE,
    namespace text                       -- which has named it first; NULL: not known
);
INSERT INTO queue (queue, name) VALUES (0, 'default');

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
    queue         smallint    NOT NULL DEFAULT 0 REFERENCES queue, -- where its runs wait for a worker
    keys          jsonb       NOT NULL DEFAULT '[]',        -- entries of the spec's `concurrency`, each with the key that its own
                                                            -- params make of it: [{"source", "limit", "key"}]
    CHECK (ready = (revision IS NOT NULL)),
    CHECK ((paused_at IS NULL) = (paused_by IS NULL)),
    CHECK ((snoozed_until IS NULL) = (snoozed_by IS NULL))
);
CREATE UNIQUE INDEX task_name ON task (namespace, name) WHERE deleted_at IS NULL;
CREATE INDEX task_pipeline ON task (namespace, pipeline_ref) WHERE deleted_at IS NULL;
CREATE INDEX task_api ON task (namespace) WHERE origin = 'API' AND deleted_at IS NULL;  -- what a quota counts
CREATE INDEX task_deleted ON task (deleted_at) WHERE deleted_at IS NOT NULL;

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
    trigger      text        NOT NULL CHECK (trigger IN ('schedule', 'manual', 'retry', 'backfill', 'event')),
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
    event        json,                                  -- what triggered it: a CloudEvent, or an array of them; NULL: none
    hops         smallint    NOT NULL DEFAULT 0,        -- how many runs of events stand one behind the other, this one included
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
    started_at timestamptz,                         -- when the run's first delivery began; NULL: it never has
    lane       integer     NOT NULL DEFAULT 0       -- the hash of its namespace: lanes are served in turns
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX due_work_ready ON due_work (queue, urgency, lane, due_at, id);

-- Work that may not start before due_at; moved to due_work when it is due.
CREATE TABLE delayed_work (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue      smallint    NOT NULL DEFAULT 0,
    urgency    smallint    NOT NULL CHECK (urgency BETWEEN 0 AND 9),
    due_at     timestamptz NOT NULL,
    attempt    smallint    NOT NULL DEFAULT 1,
    run_id     uuid        NOT NULL,
    started_at timestamptz,
    keys       jsonb                                    -- concurrency keys that it still has to get then; NULL: none
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
    started_at timestamptz,
    keys       jsonb                                    -- concurrency keys that it still has to get then; NULL: none
);
CREATE INDEX queued_work_turn ON queued_work (task_id, urgency, id);
CREATE UNIQUE INDEX queued_work_run ON queued_work (run_id);

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
CREATE VIEW live_work AS
    SELECT run_id FROM due_work UNION ALL SELECT run_id FROM delayed_work UNION ALL SELECT run_id FROM queued_work
    UNION ALL SELECT run_id FROM leased_work UNION ALL SELECT run_id FROM keyed_work;

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

-- ---------------------------------------------------------------- events out

-- One compact row per transaction that changed something, until it is moved to the log.
CREATE TABLE outbox (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    events     json        NOT NULL,
    about      text[]      NOT NULL DEFAULT '{}'        -- `namespace` and `namespace/type` of each: what tenants look for
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- Where a row stands in the order in which the log was written. One process at a time moves rows from the outbox to the log, so
-- positions become visible in their order, and whoever has read up to one has missed nothing.
CREATE SEQUENCE event_position;

CREATE TABLE event_log (
    created_at timestamptz NOT NULL,
    id         bigint      NOT NULL,
    events     json        NOT NULL,
    about      text[]      NOT NULL DEFAULT '{}',
    position   bigint      DEFAULT nextval('ordinaut.event_position'),  -- NULL: logged by release 0.1
    PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);
CREATE INDEX event_log_id ON event_log (id);
CREATE INDEX event_log_about ON event_log USING gin (about);
CREATE INDEX event_log_position ON event_log (position);
CREATE TABLE event_log_rest PARTITION OF event_log DEFAULT;

-- How far the readers of the log have come that must miss nothing: `triggers` makes runs, `stream` appends to Redis.
CREATE TABLE event_cursor (
    reader   text        PRIMARY KEY,
    position bigint      NOT NULL DEFAULT 0,
    moved_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
INSERT INTO event_cursor (reader) VALUES ('triggers'), ('stream');

-- ---------------------------------------------------------------- triggers

-- How often the subscriptions of a namespace have changed. The row is locked until the change commits, so whoever sees a version
-- has seen all changes before.
CREATE TABLE subscription_version (
    namespace text   PRIMARY KEY,
    version   bigint NOT NULL
);

-- The triggers of a task, as its spec has them, each with the time since which events count for it.
CREATE TABLE subscription (
    task_id   bigint PRIMARY KEY REFERENCES task ON DELETE CASCADE,
    namespace text   NOT NULL,
    version   bigint NOT NULL,                              -- of the namespace, when this last changed
    triggers  jsonb                                         -- NULL: the task has none any more, or is gone
);
CREATE INDEX subscription_news ON subscription (namespace, version);

-- The ledger of events: what became of each event that matched a trigger of a task, once for each task and event.
CREATE TABLE event_fire (
    task_id    bigint      NOT NULL,
    event_key  uuid        NOT NULL,                        -- of the event's source and id: the first half of their SHA-256
    position   bigint      NOT NULL,                        -- where the event stands in the log,
    place      int         NOT NULL,                        -- and in its row
    event_id   text        NOT NULL,
    event_type text        NOT NULL,
    trigger    smallint    NOT NULL,                        -- which of the task's triggers, from 0
    outcome    text        NOT NULL CHECK (outcome IN ('Fired', 'Skipped', 'Gathered')),
    reason     text        CHECK (reason IN ('DeadlineExceeded', 'StillRunning', 'QueueFull', 'NotReady', 'Unauthorized', 'Suspended',
                                             'Paused', 'HopLimit', 'InvalidFilter', 'InvalidParams', 'Debounced')),
    message    text,                                        -- what was wrong with filter or params
    run_id     uuid,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, event_key),
    CHECK ((outcome = 'Fired') = (run_id IS NOT NULL)),
    CHECK ((outcome = 'Skipped') = (reason IS NOT NULL))
);
CREATE INDEX event_fire_order ON event_fire (task_id, position, place);
CREATE INDEX event_fire_age ON event_fire USING brin (decided_at);

-- When an event was last skipped that would have had runs of events follow one another too far: within the last hour, and of the latest 20
-- events of each task; NULL: none was.
CREATE VIEW event_loop AS
    SELECT t.task_id, (SELECT max(latest.decided_at) FROM (
            SELECT f.decided_at, f.reason FROM event_fire f WHERE f.task_id = t.task_id ORDER BY f.position DESC, f.place DESC LIMIT 20) latest
        WHERE latest.reason = 'HopLimit' AND latest.decided_at > now() - interval '1 hour') AS looped_at
    FROM task t;

-- Triggers that gather events, for a batch, until they cease, or until it is known whether the task's creator may run it: when
-- the run of those gathered so far is made at the latest.
CREATE TABLE gathering (
    task_id   bigint      NOT NULL,
    trigger   smallint    NOT NULL,
    opened_at timestamptz NOT NULL,
    due_at    timestamptz NOT NULL,
    events    int         NOT NULL,
    bytes     bigint      NOT NULL,
    PRIMARY KEY (task_id, trigger)
);
CREATE INDEX gathering_due ON gathering (due_at);

CREATE TABLE gathered_event (
    task_id     bigint      NOT NULL,
    trigger     smallint    NOT NULL,
    position    bigint      NOT NULL,
    place       int         NOT NULL,
    event_key   uuid        NOT NULL,
    accepted_at timestamptz NOT NULL,
    hops        smallint    NOT NULL,                   -- of the run that it would make
    bytes       int         NOT NULL,
    event       json        NOT NULL,
    PRIMARY KEY (task_id, trigger, position, place)
);

-- ---------------------------------------------------------------- webhooks

-- Who may publish by a webhook: what is signed with one of the keys becomes an event.
CREATE TABLE hook (
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

-- Deliveries that were accepted, for as long as senders repeat them: none is accepted twice.
CREATE TABLE hook_delivery (
    namespace   text        NOT NULL,
    hook        text        NOT NULL,
    delivery    bytea       NOT NULL,                       -- SHA-256 of what makes it that one
    accepted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, hook, delivery)
);
CREATE INDEX hook_delivery_age ON hook_delivery (accepted_at);

-- ---------------------------------------------------------------- who did what

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
CREATE FUNCTION add_partition(parent text, key text, name text, since text, until text, fillfactor int) RETURNS void LANGUAGE plpgsql AS $$
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
CREATE FUNCTION ensure_partitions(first_day date, last_day date) RETURNS int LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
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

-- Drop a partition of `parent`, but not one that holds runs that have not ended, nor the steps of runs that are still there, nor events
-- that a reader of the log has still to read; tells whether it was dropped.
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
                                      WHERE p.parent = 'run' AND p.since < ends AND p.until > begins)
       OR parent = 'event_log' AND EXISTS (SELECT FROM ordinaut.event_log WHERE created_at >= begins AND created_at < ends
                                           AND position > (SELECT min(c.position) FROM ordinaut.event_cursor c)) THEN
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
CREATE FUNCTION drop_partitions(parent text, oldest date) RETURNS int LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
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
