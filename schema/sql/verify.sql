-- Does it add up? What verify compares, what rebuild replaces.

-- name: totals
-- Per site, what became of everything drained: as summed by drains, and as the receipts and rows themselves say.
SELECT site_id,
    coalesce(d.stored, 0) AS stored, coalesce(d.duplicate, 0) AS duplicate, coalesce(d.dead, 0) AS dead,
    coalesce(d.discarded, 0) AS discarded,
    coalesce(b.stored, 0) AS receipts_stored, coalesce(b.duplicate, 0) AS receipts_duplicate,
    coalesce(b.dead, 0) AS receipts_dead,
    coalesce(e.rows, 0)::bigint AS event_rows, coalesce(l.rows, 0) AS dead_rows, coalesce(m.accepted, 0) AS mirrored
FROM (SELECT site_id FROM sites UNION SELECT site_id FROM drained) AS s
LEFT JOIN (SELECT site_id, sum(stored)::bigint AS stored, sum(duplicate)::bigint AS duplicate,
               sum(dead)::bigint AS dead, sum(discarded)::bigint AS discarded FROM drained GROUP BY 1) AS d
    USING (site_id)
LEFT JOIN (SELECT site_id, sum(stored) AS stored, sum(duplicate) AS duplicate, sum(dead) AS dead
           FROM (SELECT site_id, stored, duplicate, dead FROM batches
                 UNION ALL SELECT site_id, stored, duplicate, dead FROM base_receipts) AS counted GROUP BY 1) AS b
    USING (site_id)
LEFT JOIN (SELECT site_id, sum(rows) AS rows  -- those that retention dropped, too
           FROM (SELECT site_id, count(*) AS rows FROM events GROUP BY 1
                 UNION ALL SELECT site_id, events FROM base_events) AS counted GROUP BY 1) AS e USING (site_id)
LEFT JOIN (SELECT site_id, sum(events) AS rows
           FROM (SELECT site_id, events FROM dead_letters WHERE state = 'dead'
                 UNION ALL SELECT site_id, letters FROM base_receipts) AS counted GROUP BY 1) AS l
    USING (site_id)
LEFT JOIN accepted_mirror AS m USING (site_id)
ORDER BY site_id

-- name: doubled
-- Events stored twice: none, if the ledger did its work.
SELECT site_id, event_id, count(*) FROM events GROUP BY 1, 2 HAVING count(*) > 1 LIMIT 10

-- name: unknown_ids
-- Rows without a ledger entry would be stored again by a resend.
SELECT site_id, event_id FROM events AS e
WHERE received_at > now() - make_interval(days => %(days)s)
  AND NOT EXISTS (SELECT FROM event_ids AS i WHERE (i.site_id, i.event_id) = (e.site_id, e.event_id))
LIMIT 10

-- name: drained_already
-- Which of these batches have a receipt: a drain died between COMMIT and XDEL.
SELECT batch_id FROM batches WHERE batch_id = ANY(%(batch_ids)s)

-- name: drained_events
-- Events that left the queue so far, over all sites.
SELECT coalesce(sum(stored + duplicate + dead + discarded), 0)::bigint FROM drained
