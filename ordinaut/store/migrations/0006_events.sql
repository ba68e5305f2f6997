-- Events: one ordered log with readers that each know how far they have come, tasks triggered by what is in it, and webhooks.

-- ---------------------------------------------------------------- the log

-- Where a row stands in the order in which the log was written. One process at a time moves rows from the outbox to the log, so
-- positions become visible in their order, and whoever has read up to one has missed nothing. NULL: logged by release 0.1.
CREATE SEQUENCE event_position;
ALTER TABLE event_log ADD position bigint;
ALTER TABLE event_log ALTER position SET DEFAULT nextval('ordinaut.event_position');
CREATE INDEX event_log_position ON event_log (position);

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

-- ---------------------------------------------------------------- queues

ALTER TABLE queue ADD namespace text;                       -- which has named it first; NULL: not known

-- ---------------------------------------------------------------- runs of events

CREATE INDEX task_deleted ON task (deleted_at) WHERE deleted_at IS NOT NULL;

ALTER TABLE run ADD event json;                             -- what triggered it: a CloudEvent, or an array of them; NULL: none
ALTER TABLE run ADD hops smallint NOT NULL DEFAULT 0;       -- how many runs of events stand one behind the other, this one included
ALTER TABLE run DROP CONSTRAINT run_trigger_check;
ALTER TABLE run ADD CONSTRAINT run_trigger_check CHECK (trigger IN ('schedule', 'manual', 'retry', 'backfill', 'event'));

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

-- ---------------------------------------------------------------- partitions

-- As before, and none with events that a reader of the log has still to read.
CREATE OR REPLACE FUNCTION drop_partition(parent text, partition text) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '4s' SET timezone = 'UTC' AS $$
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
