-- The service for agents: whom a task acts for, overlays, labels, idempotency keys, retries, events by namespace.

-- An identity that has made tasks through the API; thousands of tasks share one.
CREATE TABLE creator (
    creator_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest     bytea  NOT NULL UNIQUE,   -- SHA-256 of the identity
    identity   jsonb  NOT NULL
);

ALTER TABLE task
    ADD creator_id      bigint REFERENCES creator,            -- whose rights its runs need; NULL: it needs none
    ADD unauthorized_at timestamptz,                          -- since when its creator may no longer run it
    ADD paused_at       timestamptz,                          -- overlay: like `suspend`, but not part of the spec
    ADD paused_by       text,
    ADD snoozed_until   timestamptz,                          -- overlay: what is due before then starts then
    ADD snoozed_by      text,
    ADD labels          jsonb       NOT NULL DEFAULT '{}',    -- of objects made through the API
    ADD annotations     jsonb       NOT NULL DEFAULT '{}',
    ADD version         bigint      NOT NULL DEFAULT 1,       -- counts the changes of spec, labels, annotations and overlay
    ADD CHECK ((paused_at IS NULL) = (paused_by IS NULL)),
    ADD CHECK ((snoozed_until IS NULL) = (snoozed_by IS NULL));
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

-- Which namespaces the events of a row concern, so that each tenant finds its own.
ALTER TABLE event_log ADD namespaces text[] NOT NULL DEFAULT '{}';
CREATE INDEX event_log_namespaces ON event_log USING gin (namespaces);
