-- Whether all is well, as a page says it: of one site with a reader, of all with the monitor.

-- name: books
-- What became of what was drained, what was accepted as Postgres knows it, and which of these batches have a receipt: all
-- of one moment.
SELECT site_id, coalesce(accepted, 0)::bigint AS mirrored, coalesce(stored, 0)::bigint AS stored,
    coalesce(duplicate, 0)::bigint AS duplicate, coalesce(dead, 0)::bigint AS dead,
    coalesce(discarded, 0)::bigint AS discarded,
    (SELECT coalesce(array_agg(batch_id), '{}') FROM batches WHERE batch_id = ANY(%(batch_ids)s::uuid[])) AS receipts
FROM sites
LEFT JOIN (SELECT site_id, sum(stored) AS stored, sum(duplicate) AS duplicate, sum(dead) AS dead,
               sum(discarded) AS discarded FROM drained GROUP BY 1) AS d USING (site_id)
LEFT JOIN accepted_mirror USING (site_id)
WHERE %(site_id)s::text IS NULL OR site_id = %(site_id)s
ORDER BY site_id

-- name: sites
-- Every site's id.
SELECT site_id FROM sites ORDER BY site_id

-- name: fresh
-- When a drain last stored something of the site, and the moment as of which its figures are complete.
SELECT (SELECT max(updated_at) FROM drained WHERE site_id = %(site_id)s AND lane >= 0) AS stored_at,
    (SELECT nullif(as_of, '-infinity') FROM rolled_up) AS as_of

-- name: newest_event
-- When the newest stored event of the site's last week happened.
SELECT max(occurred_at) FROM events WHERE site_id = %(site_id)s AND occurred_at > now() - interval '7 days'

-- name: unfit
-- How many kinds of events did not fit their schema within the hour.
SELECT count(*) FROM schema_warnings WHERE last_at > now() - interval '1 hour'

-- name: open_to
-- Who may post to the site without a key.
SELECT open_to FROM sites WHERE site_id = %(site_id)s
