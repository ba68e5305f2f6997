-- task_statuses --
-- What the status of these tasks should say.
SELECT t.task_id, t.namespace, t.name, t.origin, t.uid, t.generation, t.updated_at, t.spec, t.anchor, t.invalid, t.ready, t.reason, t.message,
       c.next_fire_at, c.evaluated_at,
       (SELECT max(f.scheduled_at) FROM fire f WHERE f.task_id = t.task_id AND f.outcome = 'Fired') AS last_schedule_at,
       coalesce(a.active, 0) AS active,
       l.run_id, l.phase AS run_phase, l.trigger AS run_trigger, l.scheduled_at AS run_scheduled_at,
       l.started_at AS run_started_at, l.finished_at AS run_finished_at, l.reason AS run_reason,
       s.finished_at AS last_success_at, now() AS now
FROM task t LEFT JOIN task_clock c USING (task_id)
LEFT JOIN (
    SELECT r.task_id, count(*) AS active FROM live_work w JOIN run r USING (run_id)
    WHERE r.task_id = ANY(%(task_ids)b) AND r.finished_at IS NULL GROUP BY r.task_id
) a ON a.task_id = t.task_id
LEFT JOIN LATERAL (
    SELECT r.run_id, CASE WHEN r.finished_at IS NULL AND w.run_id IS NOT NULL THEN 'Running' ELSE r.phase END AS phase, r.trigger,
           r.scheduled_at, coalesce(r.started_at, w.started_at) AS started_at, r.finished_at, r.reason
    FROM (SELECT * FROM run WHERE run.task_id = t.task_id ORDER BY run.run_id DESC LIMIT 1) r
    LEFT JOIN leased_work w ON w.run_id = r.run_id
) l ON true
LEFT JOIN LATERAL (
    SELECT max(r.finished_at) AS finished_at FROM (
        SELECT phase, finished_at FROM run WHERE run.task_id = t.task_id ORDER BY run.run_id DESC LIMIT 20
    ) r WHERE r.phase = 'Succeeded'
) s ON true
WHERE t.task_id = ANY(%(task_ids)b);

-- task_ids_of --
-- Keys of live tasks by origin, for a sweep.
SELECT task_id FROM task WHERE origin = %(origin)s AND deleted_at IS NULL ORDER BY task_id;

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

-- list_task_ids --
-- Live tasks of a namespace by name, after a cursor; optionally one by its name.
SELECT task_id FROM task
WHERE namespace = %(namespace)s AND deleted_at IS NULL
  AND (%(name)s::text IS NULL OR name = %(name)s) AND (%(after)s::text IS NULL OR name > %(after)s)
ORDER BY name LIMIT %(limit)s;

-- list_declared --
-- Pipelines or tools of a namespace by name, after a cursor; optionally one by its name.
SELECT d.namespace, d.name, d.origin, d.uid, d.generation, d.spec, d.invalid, d.updated_at
FROM (
    SELECT namespace, name, origin, uid, generation, spec, invalid, updated_at FROM pipeline WHERE %(kind)s = 'Pipeline'
    UNION ALL
    SELECT namespace, name, origin, uid, generation, spec, invalid, updated_at FROM tool WHERE %(kind)s = 'Tool'
) d
WHERE d.namespace = %(namespace)s
  AND (%(name)s::text IS NULL OR d.name = %(name)s) AND (%(after)s::text IS NULL OR d.name > %(after)s)
ORDER BY d.name LIMIT %(limit)s;

-- notify_status --
-- Tell the status writer which tasks changed; its periodic sweep is the back-stop.
SELECT pg_notify('ordinaut_status', %(task_ids)s);
