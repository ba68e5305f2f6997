-- fence --
-- Lock the leases of a settle and return what they hold; the results of an item that is not returned must be dropped.
SELECT lease_id, ARRAY(SELECT item.id FROM unnest(items) item) FROM work_lease WHERE lease_id = ANY(%(leases)b)
ORDER BY lease_id FOR UPDATE;

-- committed_steps --
-- Which of the runs have a committed result of the step.
SELECT s.run_id FROM unnest(%(run_ids)b::uuid[], %(seqs)b::smallint[], %(idxs)b::int[]) AS x (run_id, seq, idx)
JOIN step s USING (run_id, seq, idx) WHERE s.finished_at IS NOT NULL;

-- settle_steps --
-- Commit step results. A step that waits for a retry is overwritten by its next result, a final one never.
INSERT INTO step AS s (run_id, seq, idx, step_id, phase, attempt, started_at, finished_at, output, error, tool_digest)
SELECT x.run_id, x.seq, x.idx, x.step_id, x.phase, x.attempt,
       now() - x.started_ago * interval '1 microsecond',
       CASE WHEN x.phase <> 'Waiting' THEN now() - x.finished_ago * interval '1 microsecond' END,
       x.output::jsonb, x.error, x.tool_digest
FROM unnest(%(run_ids)b::uuid[], %(seqs)b::smallint[], %(idxs)b::int[], %(step_ids)b::text[], %(phases)b::text[],
            %(attempts)b::smallint[], %(started_ago)b::bigint[], %(finished_ago)b::bigint[], %(outputs)b::text[],
            %(errors)b::text[], %(tool_digests)b::bytea[])
     AS x (run_id, seq, idx, step_id, phase, attempt, started_ago, finished_ago, output, error, tool_digest)
ON CONFLICT (run_id, seq, idx) DO UPDATE SET
    phase = excluded.phase, attempt = excluded.attempt, started_at = excluded.started_at, finished_at = excluded.finished_at,
    output = excluded.output, error = excluded.error, tool_digest = excluded.tool_digest
WHERE s.finished_at IS NULL;

-- settle_runs --
-- Give runs that have not ended their phase: final, or Waiting. Pass the keys sorted: that is the order in which they are locked.
UPDATE run r SET phase = x.phase, attempt = x.attempt, output = x.output::jsonb, reason = x.reason, error = x.error,
       started_at = coalesce(r.started_at, x.started_at),
       finished_at = CASE WHEN x.phase <> 'Waiting' THEN now() END
FROM unnest(%(run_ids)b::uuid[], %(phases)b::text[], %(attempts)b::smallint[], %(started)b::timestamptz[], %(outputs)b::text[],
            %(reasons)b::text[], %(errors)b::text[])
     AS x (run_id, phase, attempt, started_at, output, reason, error)
WHERE r.run_id = x.run_id AND r.finished_at IS NULL
RETURNING r.run_id;

-- drop_leases --
-- Leases with nothing left under way.
DELETE FROM work_lease WHERE lease_id = ANY(%(leases)b);

-- shrink_leases --
-- Take settled items out of leases that still hold others, so that the reaper never brings them back.
UPDATE work_lease SET items = ARRAY(SELECT item FROM unnest(items) item WHERE item.id <> ALL(%(items)b))
WHERE lease_id = ANY(%(leases)b);
