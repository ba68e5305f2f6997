-- ping --
-- Whether the database answers.
SELECT 1;

-- set_up_session --
-- Settings of a new connection, until it ends.
SELECT set_config(x.name, x.value, false) FROM unnest(%(names)b::text[], %(values)b::text[]) AS x (name, value);

-- migration_table_exists --
-- Whether the database has ever been migrated.
SELECT to_regclass('ordinaut.schema_migration') IS NOT NULL;

-- create_migration_table --
-- Where applied migrations are remembered.
CREATE TABLE IF NOT EXISTS ordinaut.schema_migration (
    version    int         PRIMARY KEY,
    name       text        NOT NULL,
    checksum   bytea       NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- applied_migrations --
-- What has been applied.
SELECT version, checksum FROM ordinaut.schema_migration ORDER BY version;

-- last_migration --
-- The number of the last migration that has been applied.
SELECT coalesce(max(version), 0) FROM ordinaut.schema_migration;

-- record_migration --
-- Remember a migration, in the transaction that applied it.
INSERT INTO ordinaut.schema_migration (version, name, checksum) VALUES (%(version)s, %(name)s, %(checksum)s);

-- limit_migration_locks --
-- Never queue behind a long transaction while all others queue behind the migration.
SELECT set_config('lock_timeout', '4s', true), set_config('statement_timeout', '60s', true);

-- lock_migrations --
-- One migrating process at a time.
SELECT pg_advisory_lock(%(key)s);

-- unlock_migrations --
-- Let the next one in.
SELECT pg_advisory_unlock(%(key)s);
