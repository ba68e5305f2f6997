-- The service for agents: whom a task acts for, overlays, labels, idempotency keys, retries, events by namespace.

-- An identity that has made tasks through the API; thousands of tasks share one.
CREATE TABLE creator (
    creator_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest     bytea  NOT NULL UNIQUE,   -- SHA-256 of the identity
    identity   jsonb  NOT NULL
);

ALTER TABLE task
    ADD creator_id      bigint REFERENCES creator,            -- whose rights its runs need; NULL: it needs none
    ADD paused_at       timestamptz,                          -- overlay: like `suspend`, but not part of the spec
    ADD paused_by       text,
    ADD snoozed_until   timestamptz,                          -- overlay: what is due before then starts then
    ADD snoozed_by      text,
    ADD labels          jsonb       NOT NULL DEFAULT '{}',    -- of objects made through the API
    ADD annotations     jsonb       NOT NULL DEFAULT '{}',
    ADD version         bigint      NOT NULL DEFAULT 1,       -- counts the changes of spec, labels, annotations and overlay
    ADD CHECK ((paused_at IS NULL) = (paused_by IS NULL)),
    ADD CHECK ((snoozed_until IS NULL) = (snoozed_by IS NULL));
CREATE INDEX task_api ON task (namespace) WHERE origin = 'API' AND deleted_at IS NULL;  -- what a quota counts
ALTER TABLE task_clock
    ADD unauthorized_at timestamptz;                          -- since when its creator may no longer run the task
ALTER TABLE pipeline
    ADD labels      jsonb       NOT NULL DEFAULT '{}',
    ADD annotations jsonb       NOT NULL DEFAULT '{}',
    ADD version     bigint      NOT NULL DEFAULT 1,
    ADD created_at  timestamptz NOT NULL DEFAULT now();
ALTER TABLE tool
    ADD labels      jsonb       NOT NULL DEFAULT '{}',
    ADD annotations jsonb       NOT NULL DEFAULT '{}',
    ADD version     bigint      NOT NULL DEFAULT 1,
    ADD created_at  timestamptz NOT NULL DEFAULT now();

ALTER TABLE fire DROP CONSTRAINT fire_reason_check;
ALTER TABLE fire ADD CONSTRAINT fire_reason_check
    CHECK (reason IN ('DeadlineExceeded', 'NotCaughtUp', 'Coalesced', 'CatchUpLimit', 'StillRunning', 'NotReady', 'Unauthorized'));

ALTER TABLE run DROP CONSTRAINT run_trigger_check;
ALTER TABLE run ADD CONSTRAINT run_trigger_check CHECK (trigger IN ('schedule', 'manual', 'retry'));
ALTER TABLE run ADD retry_of uuid;                            -- the run that a retry goes on from

-- Answers to requests with an Idempotency-Key, written in the transaction of what they did.
CREATE TABLE idempotency (
    namespace  text        NOT NULL,
    caller     text        NOT NULL,
    route      text        NOT NULL,
    key        text        NOT NULL,
    digest     bytea       NOT NULL,                          -- SHA-256 of path, query and body
    created_at timestamptz NOT NULL DEFAULT now(),
    status     smallint,                                      -- NULL only within that transaction
    headers    jsonb,
    body       bytea,
    PRIMARY KEY (namespace, caller, route, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

ALTER TABLE audit ADD request_id text;
CREATE INDEX audit_namespace ON audit (namespace, id);

-- What the events of a row are about, as `namespace` and `namespace/type`: each tenant finds its own without reading all.
ALTER TABLE outbox ADD about text[] NOT NULL DEFAULT '{}';
ALTER TABLE event_log ADD about text[] NOT NULL DEFAULT '{}';
CREATE INDEX event_log_id ON event_log (id);
CREATE INDEX event_log_about ON event_log USING gin (about);

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
