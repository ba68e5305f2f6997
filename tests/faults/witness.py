"""
A witness inside the database: what the queue did, by the database's clock, which the product's own tables forget.

Leases are deleted when they are over, so triggers of the test write down each delivery, each lease that ran out and
each end of a run. `tests.faults.invariants` reads them.
"""

import psycopg

_STATEMENTS = """
CREATE SCHEMA witness;
CREATE TABLE witness.delivery (run_id uuid, queue int, attempt int, lease_id bigint, worker text, at timestamptz);
CREATE TABLE witness.expiry (LIKE witness.delivery, leased_until timestamptz);
CREATE TABLE witness.ending (run_id uuid, phase text, at timestamptz);
CREATE TABLE witness.result (run_id uuid, seq int, idx int, at timestamptz);

CREATE FUNCTION witness.leased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness.delivery
    SELECT item.run_id, item.queue, item.attempt, NEW.lease_id, NEW.worker, clock_timestamp()
    FROM unnest(NEW.items) item;
    RETURN NULL;
END $$;
CREATE TRIGGER leased AFTER INSERT ON ordinaut.work_lease FOR EACH ROW EXECUTE FUNCTION witness.leased();

CREATE FUNCTION witness.expired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness.expiry
    SELECT item.run_id, item.queue, item.attempt, OLD.lease_id, OLD.worker, clock_timestamp(), OLD.leased_until
    FROM unnest(OLD.items) item;
    RETURN NULL;
END $$;
CREATE TRIGGER expired AFTER DELETE ON ordinaut.work_lease FOR EACH ROW WHEN (OLD.leased_until < now())
EXECUTE FUNCTION witness.expired();

CREATE FUNCTION witness.ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness.ending VALUES (NEW.run_id, NEW.phase, clock_timestamp());
    RETURN NULL;
END $$;
CREATE TRIGGER ended AFTER UPDATE ON ordinaut.run FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL)
EXECUTE FUNCTION witness.ended();

CREATE FUNCTION witness.committed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness.result VALUES (NEW.run_id, NEW.seq, NEW.idx, clock_timestamp());
    RETURN NULL;
END $$;
CREATE TRIGGER committed AFTER INSERT OR UPDATE ON ordinaut.step FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL)
EXECUTE FUNCTION witness.committed();
"""


def install(database: str) -> None:
    """Have the witness watch a database from now on."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(_STATEMENTS)
