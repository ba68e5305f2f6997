-- Time: runs that wait for their turn (concurrencyPolicy Queue), backfills, and what the law of the ledger is checked by.

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

-- Every unfinished run: each is in exactly one of the four tables in any snapshot.
CREATE OR REPLACE VIEW live_work AS
    SELECT run_id FROM due_work UNION ALL SELECT run_id FROM delayed_work UNION ALL SELECT run_id FROM queued_work
    UNION ALL SELECT run_id FROM leased_work;

-- Since when the present schedules and time zone data have counted: nominal times in (counted_from, evaluated_at] can be
-- computed anew, and each of them must be in the ledger.
ALTER TABLE task_clock ADD counted_from timestamptz NOT NULL DEFAULT now();

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

ALTER TABLE fire ADD backfill_id uuid;                  -- the backfill that made up for this time; NULL: it was fired or skipped when it came
ALTER TABLE fire DROP CONSTRAINT fire_reason_check;
ALTER TABLE fire ADD CONSTRAINT fire_reason_check
    CHECK (reason IN ('DeadlineExceeded', 'NotCaughtUp', 'Coalesced', 'CatchUpLimit', 'StillRunning', 'QueueFull', 'NotReady', 'Unauthorized'));

ALTER TABLE run DROP CONSTRAINT run_trigger_check;
ALTER TABLE run ADD CONSTRAINT run_trigger_check CHECK (trigger IN ('schedule', 'manual', 'retry', 'backfill'));

-- Drop the day partitions of `parent` that end at or before `oldest` (UTC), but for days with runs that have not ended; returns how
-- many were dropped.
CREATE OR REPLACE FUNCTION drop_partitions(parent text, oldest date) RETURNS int LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
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
