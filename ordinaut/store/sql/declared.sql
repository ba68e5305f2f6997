-- lock_namespace --
-- One declaring transaction per namespace at a time: a task and the pipeline it names must not miss each other.
SELECT pg_advisory_xact_lock(hashtextextended('ordinaut.declare:' || %(namespace)s, 0));

-- upsert_tasks --
-- Take over what is newer; returns the tasks that were made or changed. An unchanged object writes nothing. Whoever writes
-- a spec is the one whose rights its runs need.
INSERT INTO task AS t (namespace, name, origin, uid, generation, spec, labels, annotations, pipeline_ref, tool_refs, invalid, anchor,
                       reason, creator_id)
SELECT x.namespace, x.name, %(origin)s, x.uid, coalesce(x.generation, 1), x.spec, x.labels, x.annotations, x.pipeline_ref,
       x.tool_refs, x.invalid, coalesce(x.created_at, now()), 'Pending', %(creator)s::bigint
FROM jsonb_to_recordset(%(objects)s::jsonb) AS x (namespace text, name text, uid text, generation bigint, spec jsonb,
     labels jsonb, annotations jsonb, pipeline_ref text, tool_refs text[], invalid text, created_at timestamptz)
ORDER BY x.namespace, x.name
ON CONFLICT (namespace, name) WHERE deleted_at IS NULL DO UPDATE SET
    uid = excluded.uid, spec = excluded.spec, labels = excluded.labels, annotations = excluded.annotations,
    pipeline_ref = excluded.pipeline_ref, tool_refs = excluded.tool_refs, invalid = excluded.invalid, updated_at = now(),
    version = t.version + 1,
    creator_id = CASE WHEN t.spec <> excluded.spec THEN coalesce(excluded.creator_id, t.creator_id) ELSE t.creator_id END,
    generation = CASE WHEN excluded.origin = 'Kubernetes' THEN excluded.generation
                      WHEN t.spec <> excluded.spec THEN t.generation + 1 ELSE t.generation END
WHERE t.origin = excluded.origin
  AND (t.uid <> excluded.uid OR t.invalid IS DISTINCT FROM excluded.invalid
       OR CASE WHEN excluded.origin = 'Kubernetes' THEN t.generation < excluded.generation
               ELSE (t.spec, t.labels, t.annotations) <> (excluded.spec, excluded.labels, excluded.annotations) END)
RETURNING t.namespace, t.name;

-- upsert_pipelines --
-- As upsert_tasks.
INSERT INTO pipeline AS t (namespace, name, origin, uid, generation, spec, labels, annotations, tool_refs, invalid, created_at)
SELECT x.namespace, x.name, %(origin)s, x.uid, coalesce(x.generation, 1), x.spec, x.labels, x.annotations, x.tool_refs, x.invalid,
       coalesce(x.created_at, now())
FROM jsonb_to_recordset(%(objects)s::jsonb) AS x (namespace text, name text, uid text, generation bigint, spec jsonb,
     labels jsonb, annotations jsonb, tool_refs text[], invalid text, created_at timestamptz)
ORDER BY x.namespace, x.name
ON CONFLICT (namespace, name) DO UPDATE SET
    uid = excluded.uid, spec = excluded.spec, labels = excluded.labels, annotations = excluded.annotations,
    tool_refs = excluded.tool_refs, invalid = excluded.invalid, updated_at = now(), version = t.version + 1,
    generation = CASE WHEN excluded.origin = 'Kubernetes' THEN excluded.generation
                      WHEN t.spec <> excluded.spec THEN t.generation + 1 ELSE t.generation END
WHERE t.origin = excluded.origin
  AND (t.uid <> excluded.uid OR t.invalid IS DISTINCT FROM excluded.invalid
       OR CASE WHEN excluded.origin = 'Kubernetes' THEN t.generation < excluded.generation
               ELSE (t.spec, t.labels, t.annotations) <> (excluded.spec, excluded.labels, excluded.annotations) END)
RETURNING t.namespace, t.name;

-- upsert_tools --
-- As upsert_tasks.
INSERT INTO tool AS t (namespace, name, origin, uid, generation, spec, labels, annotations, invalid, created_at)
SELECT x.namespace, x.name, %(origin)s, x.uid, coalesce(x.generation, 1), x.spec, x.labels, x.annotations, x.invalid,
       coalesce(x.created_at, now())
FROM jsonb_to_recordset(%(objects)s::jsonb) AS x (namespace text, name text, uid text, generation bigint, spec jsonb,
     labels jsonb, annotations jsonb, invalid text, created_at timestamptz)
ORDER BY x.namespace, x.name
ON CONFLICT (namespace, name) DO UPDATE SET
    uid = excluded.uid, spec = excluded.spec, labels = excluded.labels, annotations = excluded.annotations,
    invalid = excluded.invalid, updated_at = now(), version = t.version + 1,
    generation = CASE WHEN excluded.origin = 'Kubernetes' THEN excluded.generation
                      WHEN t.spec <> excluded.spec THEN t.generation + 1 ELSE t.generation END
WHERE t.origin = excluded.origin
  AND (t.uid <> excluded.uid OR t.invalid IS DISTINCT FROM excluded.invalid
       OR CASE WHEN excluded.origin = 'Kubernetes' THEN t.generation < excluded.generation
               ELSE (t.spec, t.labels, t.annotations) <> (excluded.spec, excluded.labels, excluded.annotations) END)
RETURNING t.namespace, t.name;

-- upsert_hooks --
-- As upsert_tasks.
INSERT INTO hook AS t (namespace, name, origin, uid, generation, spec, labels, annotations, invalid, created_at)
SELECT x.namespace, x.name, %(origin)s, x.uid, coalesce(x.generation, 1), x.spec, x.labels, x.annotations, x.invalid,
       coalesce(x.created_at, now())
FROM jsonb_to_recordset(%(objects)s::jsonb) AS x (namespace text, name text, uid text, generation bigint, spec jsonb,
     labels jsonb, annotations jsonb, invalid text, created_at timestamptz)
ORDER BY x.namespace, x.name
ON CONFLICT (namespace, name) DO UPDATE SET
    uid = excluded.uid, spec = excluded.spec, labels = excluded.labels, annotations = excluded.annotations,
    invalid = excluded.invalid, updated_at = now(), version = t.version + 1,
    generation = CASE WHEN excluded.origin = 'Kubernetes' THEN excluded.generation
                      WHEN t.spec <> excluded.spec THEN t.generation + 1 ELSE t.generation END
WHERE t.origin = excluded.origin
  AND (t.uid <> excluded.uid OR t.invalid IS DISTINCT FROM excluded.invalid
       OR CASE WHEN excluded.origin = 'Kubernetes' THEN t.generation < excluded.generation
               ELSE (t.spec, t.labels, t.annotations) <> (excluded.spec, excluded.labels, excluded.annotations) END)
RETURNING t.namespace, t.name;

-- name_owners --
-- Who owns each of these names now, since when a task has existed, and which version of the object is current.
SELECT x.kind, x.namespace, x.name, coalesce(t.origin, p.origin, o.origin, h.origin), coalesce(t.uid, p.uid, o.uid, h.uid), t.anchor,
       coalesce(t.version, p.version, o.version, h.version)
FROM jsonb_to_recordset(%(names)s::jsonb) AS x (kind text, namespace text, name text)
LEFT JOIN task t ON x.kind = 'Task' AND t.namespace = x.namespace AND t.name = x.name AND t.deleted_at IS NULL
LEFT JOIN pipeline p ON x.kind = 'Pipeline' AND p.namespace = x.namespace AND p.name = x.name
LEFT JOIN tool o ON x.kind = 'Tool' AND o.namespace = x.namespace AND o.name = x.name
LEFT JOIN hook h ON x.kind = 'Hook' AND h.namespace = x.namespace AND h.name = x.name
WHERE coalesce(t.origin, p.origin, o.origin, h.origin) IS NOT NULL;

-- delete_tasks --
-- Turn tasks into names for their history; by uid, so that a re-created one is safe.
WITH gone AS (
    UPDATE task t SET deleted_at = now(), ready = false, reason = 'Deleted', message = '', revision = NULL
    FROM jsonb_to_recordset(%(names)s::jsonb) AS x (namespace text, name text, uid text)
    WHERE t.namespace = x.namespace AND t.name = x.name AND t.uid = x.uid AND t.deleted_at IS NULL AND t.origin = %(origin)s
    RETURNING t.task_id, t.namespace, t.name
), stopped AS (
    DELETE FROM task_clock WHERE task_id IN (SELECT task_id FROM gone)
)
SELECT task_id, namespace, name FROM gone;

-- task_ids_named --
-- Row keys of live tasks.
SELECT t.task_id, t.namespace, t.name
FROM jsonb_to_recordset(%(names)s::jsonb) AS x (namespace text, name text)
JOIN task t ON t.namespace = x.namespace AND t.name = x.name AND t.deleted_at IS NULL;

-- delete_pipelines --
-- Runs under way keep their revision.
DELETE FROM pipeline t USING jsonb_to_recordset(%(names)s::jsonb) AS x (namespace text, name text, uid text)
WHERE t.namespace = x.namespace AND t.name = x.name AND t.uid = x.uid AND t.origin = %(origin)s
RETURNING t.namespace, t.name;

-- delete_tools --
-- A run that reaches a step of a deleted tool fails.
DELETE FROM tool t USING jsonb_to_recordset(%(names)s::jsonb) AS x (namespace text, name text, uid text)
WHERE t.namespace = x.namespace AND t.name = x.name AND t.uid = x.uid AND t.origin = %(origin)s
RETURNING t.namespace, t.name;

-- delete_hooks --
-- What is delivered to a deleted hook is refused.
DELETE FROM hook t USING jsonb_to_recordset(%(names)s::jsonb) AS x (namespace text, name text, uid text)
WHERE t.namespace = x.namespace AND t.name = x.name AND t.uid = x.uid AND t.origin = %(origin)s
RETURNING t.namespace, t.name;

-- declared_uids --
-- Everything that a source has declared, for the comparison with what the source has now.
SELECT 'Task', namespace, name, uid, generation FROM task WHERE origin = %(origin)s AND deleted_at IS NULL
UNION ALL SELECT 'Pipeline', namespace, name, uid, generation FROM pipeline WHERE origin = %(origin)s
UNION ALL SELECT 'Tool', namespace, name, uid, generation FROM tool WHERE origin = %(origin)s
UNION ALL SELECT 'Hook', namespace, name, uid, generation FROM hook WHERE origin = %(origin)s;

-- dependent_tasks --
-- The tasks whose readiness depends on these pipelines or tools.
SELECT t.task_id FROM task t
LEFT JOIN pipeline p ON p.namespace = t.namespace AND p.name = t.pipeline_ref
WHERE t.deleted_at IS NULL AND t.namespace = ANY(%(namespaces)b)
  AND (t.namespace || '/' || t.pipeline_ref = ANY(%(pipelines)b)
       OR EXISTS (SELECT FROM unnest(t.tool_refs || coalesce(p.tool_refs, '{}')) AS used (name)
                  WHERE t.namespace || '/' || used.name = ANY(%(tools)b)));

-- tasks_to_resolve --
-- What the readiness, the clock and the subscription of these tasks are decided from.
SELECT t.task_id, t.namespace, t.name, t.spec, t.pipeline_ref, t.tool_refs, t.invalid, t.anchor, t.ready, t.reason, t.message,
       t.revision, t.params, t.queue, t.keys, t.paused_at, t.snoozed_until, c.schedule_key, c.next_fire_at, c.evaluated_at, s.triggers,
       now() AS now
FROM task t LEFT JOIN task_clock c USING (task_id) LEFT JOIN subscription s USING (task_id)
WHERE t.task_id = ANY(%(task_ids)b) AND t.deleted_at IS NULL
ORDER BY t.task_id
FOR UPDATE OF t;

-- pipelines_named --
-- The pipelines that these tasks refer to.
SELECT namespace, name, spec, tool_refs, invalid FROM pipeline
WHERE namespace = ANY(%(namespaces)b) AND namespace || '/' || name = ANY(%(names)b);

-- tools_named --
-- Which of these tools exist, and whether they can be used.
SELECT namespace, name, invalid FROM tool
WHERE namespace = ANY(%(namespaces)b) AND namespace || '/' || name = ANY(%(names)b);

-- insert_revisions --
-- Keep what runs will pin; equal content is one row.
INSERT INTO pipeline_revision (digest, body)
SELECT x.digest, x.body::jsonb FROM unnest(%(digests)b::bytea[], %(bodies)b::text[]) AS x (digest, body)
ORDER BY x.digest
ON CONFLICT (digest) DO NOTHING;

-- set_readiness --
-- Record whether tasks can run, and what.
UPDATE task t SET ready = x.revision IS NOT NULL, reason = x.reason, message = x.message, revision = x.revision,
       params = x.params::jsonb, queue = x.queue, keys = x.keys::jsonb
FROM unnest(%(task_ids)b::bigint[], %(reasons)b::text[], %(messages)b::text[], %(revisions)b::bytea[], %(params)b::text[],
            %(queues)b::smallint[], %(keys)b::text[]) AS x (task_id, reason, message, revision, params, queue, keys)
WHERE t.task_id = x.task_id;

-- set_clocks --
-- Start the clock of tasks anew; nominal times up to evaluated_at belong to the past and are never fired. One that merely goes on
-- with the same schedules counts on.
INSERT INTO task_clock AS c (task_id, schedule_key, evaluated_at, next_fire_at, tzdata, counted_from)
SELECT x.task_id, x.schedule_key, x.evaluated_at, x.next_fire_at, %(tzdata)s, x.evaluated_at
FROM unnest(%(task_ids)b::bigint[], %(schedule_keys)b::bytea[], %(evaluated)b::timestamptz[], %(next_fires)b::timestamptz[])
     AS x (task_id, schedule_key, evaluated_at, next_fire_at)
ORDER BY x.task_id
ON CONFLICT (task_id) DO UPDATE SET
    schedule_key = excluded.schedule_key, next_fire_at = excluded.next_fire_at, tzdata = excluded.tzdata,
    evaluated_at = greatest(c.evaluated_at, excluded.evaluated_at), as_of = NULL, kept = 0,
    counted_from = CASE WHEN (c.schedule_key, c.evaluated_at, c.tzdata) = (excluded.schedule_key, excluded.evaluated_at, excluded.tzdata)
                   THEN c.counted_from ELSE greatest(c.evaluated_at, excluded.evaluated_at) END;

-- forgive_clocks --
-- Tasks that somebody has taken over are judged by the rights of that one.
UPDATE task_clock c SET unauthorized_at = NULL
FROM task t
WHERE c.task_id = t.task_id AND t.task_id = ANY(%(task_ids)b) AND t.creator_id = %(creator)s AND c.unauthorized_at IS NOT NULL;

-- find_creator --
-- The key of an identity.
SELECT creator_id FROM creator WHERE digest = %(digest)s;

-- insert_creator --
-- Keep an identity; waits for a transaction that is just doing the same.
INSERT INTO creator (digest, identity) VALUES (%(digest)s, %(identity)s) ON CONFLICT DO NOTHING;

-- pause_task --
-- Overlay: no fires until it is resumed. Whoever paused it first has done so.
UPDATE task SET paused_at = now(), paused_by = %(by)s, version = version + 1
WHERE namespace = %(namespace)s AND name = %(name)s AND deleted_at IS NULL AND paused_at IS NULL
RETURNING task_id;

-- snooze_task --
-- Overlay: nothing starts before then.
UPDATE task SET snoozed_until = %(until)s, snoozed_by = %(by)s, version = version + 1
WHERE namespace = %(namespace)s AND name = %(name)s AND deleted_at IS NULL
RETURNING task_id;

-- resume_task --
-- End a pause and a snooze. What a snooze has held back so far starts now, as it would have when the snooze was over.
UPDATE task SET paused_at = NULL, paused_by = NULL, version = version + 1,
       snoozed_until = CASE WHEN snoozed_until > now() THEN now() ELSE snoozed_until END
WHERE namespace = %(namespace)s AND name = %(name)s AND deleted_at IS NULL AND (paused_at IS NOT NULL OR snoozed_until > now())
RETURNING task_id;

-- count_declared --
-- How many objects of a namespace were made through the API.
SELECT (SELECT count(*) FROM task WHERE namespace = %(namespace)s AND origin = 'API' AND deleted_at IS NULL),
       (SELECT count(*) FROM pipeline WHERE namespace = %(namespace)s AND origin = 'API'),
       (SELECT count(*) FROM tool WHERE namespace = %(namespace)s AND origin = 'API'),
       (SELECT count(*) FROM hook WHERE namespace = %(namespace)s AND origin = 'API');

-- revision_body --
-- What a run executes.
SELECT body FROM pipeline_revision WHERE digest = %(digest)s;

-- tool_spec --
-- A tool as it is at the start of a step.
SELECT spec, invalid FROM tool WHERE namespace = %(namespace)s AND name = %(name)s;

-- notify_clock --
-- Wake the clocks: a next fire time has changed.
SELECT pg_notify('ordinaut_clock', '');
