-- From the outbox to the queue, and back how it went.

-- name: lease
-- Leases what is due; reading is another statement, so that no row can undo the lease.
SELECT event_id FROM get_pending_events(%(limit)s)

-- name: read
-- Leased rows, oldest first, as JSON, with what their site and the registry say as the accept path has them. A row that is
-- larger than any event is left out; how large it is, is seen without unpacking it. No time: it is not finite.
WITH small AS MATERIALIZED (
    SELECT event_id, site_id, event_type, created_at, jsonb_build_object(
        'event_type', event_type, 'event_category', event_category, 'user_id', user_id, 'entity_type', entity_type,
        'entity_id', entity_id, 'event_data', event_data, 'metadata', metadata)::text AS emitted
    FROM event_outbox
    WHERE event_id = ANY(%(event_ids)s)
        AND octet_length(site_id) + octet_length(event_type) + pg_column_size(metadata)
            + coalesce(octet_length(event_category), 0) + coalesce(octet_length(user_id), 0)
            + coalesce(octet_length(entity_type), 0) + coalesce(octet_length(entity_id), 0)
            + coalesce(pg_column_size(event_data), 0) <= %(bytes_max)s
)
SELECT o.event_id, o.site_id, s.strict, o.emitted,
    EXISTS (SELECT FROM event_types AS t WHERE t.event_type = o.event_type AND t.seeded AND t.event_type <> 'unregistered')
        AS registered,
    CASE WHEN isfinite(o.created_at) THEN (extract(epoch FROM least(o.created_at, now())) * 1000000)::bigint END
        AS created_at
FROM small AS o
LEFT JOIN sites AS s USING (site_id)
WHERE octet_length(o.emitted) <= %(bytes_max)s
ORDER BY o.created_at, o.event_id

-- name: mark
-- Says of each how it went.
SELECT mark_event_processed(event_id, status, error)
FROM (SELECT * FROM unnest(%(event_ids)s::uuid[], %(statuses)s::text[], %(errors)s::text[])
          AS n (event_id, status, error) ORDER BY event_id) AS marked

-- name: forget_processed
-- One bounded bite of what was done a week ago. Returns nothing; its row count says how many.
DELETE FROM event_outbox WHERE event_id IN (
    SELECT event_id FROM event_outbox
    WHERE processing_status IN ('processed', 'completed') AND due_at < now() - interval '7 days' LIMIT 10000)
