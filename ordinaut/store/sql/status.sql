-- task_statuses --
-- What the status of these tasks should say.
SELECT * FROM task_standing JOIN event_loop USING (task_id) WHERE task_id = ANY(%(task_ids)b);

-- task_named --
-- One task and what is known of it.
SELECT * FROM task_standing JOIN event_loop USING (task_id) WHERE namespace = %(namespace)s AND name = %(name)s;

-- list_tasks --
-- Tasks of a namespace by name, after a cursor. They are chosen first: what is known of each takes many look-ups.
SELECT * FROM task_standing JOIN event_loop USING (task_id) WHERE task_id = ANY(ARRAY(
    SELECT task_id FROM task
    WHERE namespace = %(namespace)s AND deleted_at IS NULL AND name > %(after)s
    ORDER BY name LIMIT %(limit)s
)) ORDER BY name;

-- task_ids_of --
-- Keys of live tasks by origin, for a sweep.
SELECT task_id FROM task WHERE origin = %(origin)s AND deleted_at IS NULL ORDER BY task_id;

-- task_uids --
-- Which objects of an origin these tasks are, as far as they live and are of it.
SELECT task_id, uid FROM task WHERE task_id = ANY(%(task_ids)b) AND origin = %(origin)s AND deleted_at IS NULL;

-- pipeline_statuses --
-- What the status of the pipelines of an origin should say.
SELECT p.namespace, p.name, p.uid, p.generation, p.invalid,
       (SELECT string_agg(used.name, ', ' ORDER BY used.name) FROM unnest(p.tool_refs) AS used (name)
        LEFT JOIN tool o ON o.namespace = p.namespace AND o.name = used.name
        WHERE o.name IS NULL OR o.invalid IS NOT NULL) AS missing_tools
FROM pipeline p WHERE p.origin = %(origin)s;

-- tool_statuses --
-- What the status of the tools of an origin should say.
SELECT namespace, name, uid, generation, invalid FROM tool WHERE origin = %(origin)s;

-- hook_statuses --
-- What the status of the hooks of an origin should say.
SELECT namespace, name, uid, generation, invalid FROM hook WHERE origin = %(origin)s;

-- list_declared --
-- Pipelines, tools or hooks of a namespace by name, after a cursor; optionally one by its name.
SELECT d.namespace, d.name, d.origin, d.uid, d.generation, d.version, d.labels, d.annotations, d.spec, d.invalid, d.created_at, d.updated_at
FROM (
    SELECT namespace, name, origin, uid, generation, version, labels, annotations, spec, invalid, created_at, updated_at
    FROM pipeline WHERE %(kind)s = 'Pipeline'
    UNION ALL
    SELECT namespace, name, origin, uid, generation, version, labels, annotations, spec, invalid, created_at, updated_at
    FROM tool WHERE %(kind)s = 'Tool'
    UNION ALL
    SELECT namespace, name, origin, uid, generation, version, labels, annotations, spec, invalid, created_at, updated_at
    FROM hook WHERE %(kind)s = 'Hook'
) d
WHERE d.namespace = %(namespace)s
  AND (%(name)s::text IS NULL OR d.name = %(name)s) AND (%(after)s::text IS NULL OR d.name > %(after)s)
ORDER BY d.name LIMIT %(limit)s;

-- notify_status --
-- Tell the status writer which tasks changed; its periodic sweep is the back-stop.
SELECT pg_notify('ordinaut_status', %(task_ids)s);
