-- What became of each event of a batch. Events carry no index on batch_id: a batch's have its received_at, by which the
-- index on time finds the few pages where they lie.

-- name: receipt
-- One batch's receipt, for whoever may read that site, or all.
SELECT batch_id, site_id, received_at, accepted, stored, duplicate, dead, discarded, verdicts
FROM batches WHERE batch_id = %(batch_id)s AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)

-- name: newest
-- The newest receipts since an id, oldest first; ids begin with their time.
SELECT * FROM (
    SELECT batch_id, site_id, received_at, accepted, stored, duplicate, dead, discarded, verdicts
    FROM batches
    WHERE batch_id >= %(from_id)s AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)
        AND (accepted > 0 OR verdicts IS NOT NULL)
    ORDER BY batch_id DESC LIMIT %(limit)s
) AS newest ORDER BY batch_id

-- name: since
-- The first receipts from an id on, but for those that were seen.
SELECT batch_id, site_id, received_at, accepted, stored, duplicate, dead, discarded, verdicts
FROM batches
WHERE batch_id >= %(from_id)s AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)
    AND (accepted > 0 OR verdicts IS NOT NULL) AND batch_id <> ALL(%(seen)s::uuid[])
ORDER BY batch_id LIMIT %(limit)s

-- name: ids_since
-- Ids from one on, newest first.
SELECT batch_id FROM batches
WHERE batch_id >= %(from_id)s AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)
ORDER BY batch_id DESC LIMIT %(limit)s

-- name: stored_events
-- The stored events of these batches that happened in a span of time, which decides the months that are looked at.
SELECT e.batch_id, e.event_id, t.event_type, e.occurred_at, e.is_bot, a.bot_reason,
    coalesce(e.anonymous_id::text, e.claimed_user) AS visitor, path.text AS path
FROM events AS e
JOIN event_types AS t USING (event_type_id)
LEFT JOIN user_agents AS a USING (user_agent_id)
LEFT JOIN texts AS path ON path.text_id = e.path_id
WHERE e.batch_id = ANY(%(batch_ids)s) AND e.received_at BETWEEN %(first)s AND %(last)s
    AND e.occurred_at BETWEEN %(since)s AND %(last)s
ORDER BY e.received_at, e.occurred_at, e.event_id

-- name: letters
-- Dead letters of these batches that are dead no more.
SELECT batch_id, place, event_id, state FROM dead_letters
WHERE batch_id = ANY(%(batch_ids)s) AND state <> 'dead' AND place IS NOT NULL
