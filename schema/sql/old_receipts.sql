-- Dead letters and receipts past their limit: what is left of them is sums.

-- name: due_letters
-- Dead letters, which hold what was sent, are kept no longer than interactions of their site: how many go, by site.
SELECT site_id, before, count(*)
FROM dead_letters
LEFT JOIN sites USING (site_id)
JOIN category_limits ON category = 'interaction'
CROSS JOIN LATERAL (
    SELECT greatest(%(at)s::timestamptz - retention, %(at)s::timestamptz - make_interval(days => raw_days)) AS before) AS b
WHERE received_at < before
GROUP BY site_id, before ORDER BY site_id

-- name: due_receipts
-- The same of receipts, which name events: kept as long, but for a month at least, and never before their letters go. An
-- import is taken back by its own.
SELECT site_id, before, count(*)
FROM batches
JOIN category_limits ON category = 'interaction'
CROSS JOIN LATERAL (SELECT %(at)s::timestamptz - greatest(retention, interval '30 days') AS before) AS b
WHERE received_at < before AND NOT EXISTS (SELECT FROM import_batches AS i WHERE i.batch_id = batches.batch_id)
GROUP BY site_id, before ORDER BY site_id

-- name: drop_letters
-- Some of a site's; whoever replays one is waited for. Those that were dead still count as dead.
WITH gone AS (
    DELETE FROM dead_letters WHERE dead_letter_id IN (
        SELECT dead_letter_id FROM dead_letters WHERE site_id = %(site_id)s AND received_at < %(before)s
        ORDER BY dead_letter_id LIMIT %(most)s FOR UPDATE)
    RETURNING events, state
), kept AS (
    INSERT INTO base_receipts AS b (site_id, letters)
    SELECT %(site_id)s, coalesce(sum(events) FILTER (WHERE state = 'dead'), 0) FROM gone
    ON CONFLICT (site_id) DO UPDATE SET letters = b.letters + excluded.letters
)
SELECT count(*) FROM gone

-- name: drop_receipts
-- The same of receipts.
WITH gone AS (
    DELETE FROM batches WHERE batch_id IN (
        SELECT batch_id FROM batches
        WHERE site_id = %(site_id)s AND received_at < %(before)s
            AND NOT EXISTS (SELECT FROM import_batches AS i WHERE i.batch_id = batches.batch_id)
        LIMIT %(most)s FOR UPDATE)
    RETURNING stored, duplicate, dead
), kept AS (
    INSERT INTO base_receipts AS b (site_id, stored, duplicate, dead)
    SELECT %(site_id)s, coalesce(sum(stored), 0), coalesce(sum(duplicate), 0), coalesce(sum(dead), 0) FROM gone
    ON CONFLICT (site_id) DO UPDATE SET stored = b.stored + excluded.stored,
        duplicate = b.duplicate + excluded.duplicate, dead = b.dead + excluded.dead
)
SELECT count(*) FROM gone
