-- From the outbox to the queue, and back how it went.

-- name: take_due
-- Leases what is due, oldest first, with its metadata as the accept path packs it, and why it can be no event; null: it
-- can. Types and sites are as the registry has them for the accept path.
SELECT o.event_id, o.site_id, o.event_type, o.event_category, o.user_id,
    (extract(epoch FROM o.created_at) * 1000000)::bigint AS created_at, nullif(packed.metadata, '{}') AS metadata,
    CASE
        WHEN s.site_id IS NULL THEN 'site_id: there is no site ' || o.site_id
        WHEN length(o.event_type) NOT BETWEEN 1 AND 100 THEN 'event_type: must have 1 to 100 characters'
        WHEN o.event_category <> ALL (enum_range(NULL::event_category)::text[])
            THEN 'event_category: must be one of ' || array_to_string(enum_range(NULL::event_category), ', ')
        WHEN s.strict AND NOT EXISTS (SELECT FROM event_types AS t WHERE t.event_type = o.event_type AND t.seeded
                                      AND t.event_type <> 'unregistered')
            THEN 'event_type: this site takes registered event types only, not ' || o.event_type
        WHEN length(o.user_id) > 500 THEN 'user_id: may have 500 characters'
        WHEN octet_length(packed.metadata) > %(metadata_bytes_max)s
            THEN 'metadata: may have ' || %(metadata_bytes_max)s::int || ' bytes with entity and data'
        WHEN o.created_at < now() - make_interval(days => %(days)s) THEN 'created_at: too long ago'
        WHEN o.event_type = 'trip_dwell' AND dwell_ms(o.metadata) IS NULL
            THEN 'metadata: trip_dwell needs duration_seconds, a number of seconds from 0'
    END AS refusal
FROM get_pending_events(%(limit)s) AS o
LEFT JOIN sites AS s USING (site_id)
CROSS JOIN LATERAL (
    SELECT (o.metadata || coalesce(
        jsonb_object_agg(CASE WHEN o.metadata ? name THEN 'event.' || name ELSE name END, value)
            FILTER (WHERE value <> 'null'), '{}'))::text AS metadata
    FROM (VALUES ('entity_type', to_jsonb(o.entity_type)), ('entity_id', to_jsonb(o.entity_id)),
                 ('event_data', o.event_data), ('event_category', to_jsonb(o.event_category))) AS kept (name, value)
) AS packed
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
