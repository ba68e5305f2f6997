-- ledger_accounts --
-- The clocks of these tasks, each with lines of its ledger since the present schedules count: the newest, or the first after a
-- time. Clock and lines are of one snapshot, in which the law of the ledger holds exactly.
SELECT t.task_id, t.namespace, t.name, CASE WHEN t.invalid IS NULL THEN t.spec -> 'schedules' END AS schedules, t.anchor,
       t.paused_at IS NOT NULL OR coalesce(t.spec -> 'suspend' = 'true'::jsonb, false) AS asleep, t.snoozed_until,
       c.counted_from, c.evaluated_at, c.next_fire_at, c.tzdata, now() AS now, l.times, l.fired, l.backfilled
FROM task_clock c JOIN task t USING (task_id)
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(f.scheduled_at ORDER BY f.scheduled_at), '{}') AS times,
           coalesce(array_agg(f.outcome = 'Fired' ORDER BY f.scheduled_at), '{}') AS fired,
           coalesce(array_agg(f.backfill_id IS NOT NULL ORDER BY f.scheduled_at), '{}') AS backfilled
    FROM (
        (SELECT scheduled_at, outcome, backfill_id FROM fire
         WHERE %(after)s::timestamptz IS NULL AND fire.task_id = c.task_id AND scheduled_at > c.counted_from
         ORDER BY scheduled_at DESC LIMIT %(lines)s)
        UNION ALL
        (SELECT scheduled_at, outcome, backfill_id FROM fire
         WHERE %(after)s::timestamptz IS NOT NULL AND fire.task_id = c.task_id
           AND scheduled_at > greatest(%(after)s, c.counted_from)
         ORDER BY scheduled_at LIMIT %(lines)s)
    ) f
) l
WHERE c.task_id = ANY(%(task_ids)b)
ORDER BY t.namespace, t.name;

-- clocks_after --
-- The next tasks of a look at all of them.
SELECT task_id FROM task_clock WHERE task_id > %(after)s ORDER BY task_id LIMIT %(limit)s;

-- tasks_after --
-- The next tasks of a namespace, by name.
SELECT task_id, name FROM task
WHERE namespace = %(namespace)s AND deleted_at IS NULL AND name > %(after)s ORDER BY name LIMIT %(limit)s;
