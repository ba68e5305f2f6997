-- save_subscriptions --
-- Take over the triggers of tasks where they differ, and count a change of their namespaces. Whoever has read a version has read
-- all that changed before: its row is locked from here to the commit.
WITH changed AS (
    SELECT x.task_id, x.namespace, x.triggers::jsonb AS triggers
    FROM unnest(%(task_ids)b::bigint[], %(namespaces)b::text[], %(triggers)b::text[]) AS x (task_id, namespace, triggers)
    LEFT JOIN subscription s USING (task_id)
    WHERE s.triggers IS DISTINCT FROM x.triggers::jsonb
), counted AS (
    INSERT INTO subscription_version AS v (namespace, version)
    SELECT DISTINCT namespace, 1 FROM changed ORDER BY namespace
    ON CONFLICT (namespace) DO UPDATE SET version = v.version + 1
    RETURNING namespace, version
)
INSERT INTO subscription (task_id, namespace, version, triggers)
SELECT c.task_id, c.namespace, n.version, c.triggers FROM changed c JOIN counted n USING (namespace) ORDER BY c.task_id
ON CONFLICT (task_id) DO UPDATE SET version = excluded.version, triggers = excluded.triggers;

-- subscription_news --
-- What has changed in these namespaces since the versions that are known of them. A process of an older release deletes tasks
-- without ending their subscriptions.
SELECT s.namespace, s.version, s.task_id, CASE WHEN t.deleted_at IS NULL THEN s.triggers END AS triggers
FROM unnest(%(namespaces)b::text[], %(versions)b::bigint[]) AS known (namespace, version)
JOIN subscription s ON s.namespace = known.namespace AND s.version > known.version
JOIN task t USING (task_id);
