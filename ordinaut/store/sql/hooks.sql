-- hook_named --
-- A hook as it is at a delivery.
SELECT uid, spec, invalid FROM hook WHERE namespace = %(namespace)s AND name = %(name)s;

-- keep_delivery --
-- Take a delivery for accepted, unless it has been before; waits for whoever is just accepting the same.
INSERT INTO hook_delivery (namespace, hook, delivery) VALUES (%(namespace)s, %(hook)s, %(delivery)s) ON CONFLICT DO NOTHING;

-- forget_deliveries --
-- The oldest deliveries, if they are older than so many seconds: some at a time, by their keys.
WITH old AS (
    SELECT namespace, hook, delivery FROM hook_delivery
    WHERE accepted_at < now() - make_interval(secs => %(seconds)s) ORDER BY accepted_at LIMIT %(limit)s
)
DELETE FROM hook_delivery d USING old
WHERE d.namespace = old.namespace AND d.hook = old.hook AND d.delivery = old.delivery;
