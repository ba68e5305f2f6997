-- claim_idempotency_key --
-- Waits for a transaction that has just taken the same key.
INSERT INTO idempotency (namespace, caller, route, key, digest)
VALUES (%(namespace)s, %(caller)s, %(route)s, %(key)s, %(digest)s)
ON CONFLICT DO NOTHING;

-- kept_answer --
-- What the first request with this key was answered.
SELECT digest, status, headers, body FROM idempotency
WHERE namespace = %(namespace)s AND caller = %(caller)s AND route = %(route)s AND key = %(key)s;

-- keep_answer --
-- The answer to the request that has taken this key.
UPDATE idempotency SET status = %(status)s, headers = %(headers)s, body = %(body)s
WHERE namespace = %(namespace)s AND caller = %(caller)s AND route = %(route)s AND key = %(key)s;

-- forget_answers --
-- Keys are kept for some hours only; nobody repeats a request later.
DELETE FROM idempotency WHERE created_at < now() - make_interval(hours => %(hours)s);
