-- append_outbox --
-- Events of this transaction, compact.
INSERT INTO outbox (events) VALUES (%(events)s::json);

-- lock_relay --
-- One relay at a time, so that the events of a run stay in order.
SELECT pg_try_advisory_xact_lock(hashtextextended('ordinaut.relay', 0));

-- next_outbox --
-- The oldest rows that are not in the stream yet.
SELECT id, created_at, events FROM outbox ORDER BY id LIMIT %(limit)s;

-- log_outbox --
-- Move relayed rows to the log.
WITH relayed AS (DELETE FROM outbox WHERE id = ANY(%(ids)b) RETURNING created_at, id, events)
INSERT INTO event_log (created_at, id, events) SELECT created_at, id, events FROM relayed;

-- outbox_figures --
-- How many rows wait for the relay, and how old the oldest is, in seconds.
SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM outbox;

-- append_audit --
-- Who did what, and what was decided.
INSERT INTO audit (actor, verb, namespace, object, decision, request_id, detail)
VALUES (%(actor)s, %(verb)s, %(namespace)s, %(object)s, %(decision)s, %(request_id)s, %(detail)s);
