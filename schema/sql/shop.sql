-- What the demo shop asks beyond the public API.

-- name: is_demo
-- Whether the catalogue is the demo's: there are companies, and none of another name.
SELECT count(*) > 0 AND coalesce(bool_and(name = ANY(%(names)s::text[])), false) FROM companies

-- name: stored
-- A visitor's newest events of the last hours, before the given one; bots are in no session, hence by time.
SELECT e.event_id, t.event_type, e.occurred_at, e.received_at, e.trip_id, e.is_bot, a.bot_reason
FROM events AS e JOIN event_types AS t USING (event_type_id) LEFT JOIN user_agents AS a USING (user_agent_id)
WHERE e.site_id = %(site_id)s AND e.anonymous_id = %(visitor)s AND e.occurred_at >= %(since)s
    AND (%(before_at)s::timestamptz IS NULL
         OR (e.occurred_at, e.event_id) < (%(before_at)s::timestamptz, %(before_id)s::uuid))
ORDER BY e.occurred_at DESC, e.event_id DESC LIMIT %(most)s

-- name: remarks
-- What the receipts of the last hours say of these events: sent again, dead, discarded.
SELECT said ->> 'event_id' AS event_id, said ->> 'event_type' AS event_type, said ->> 'verdict' AS verdict,
    said ->> 'reason' AS reason, received_at
FROM batches CROSS JOIN LATERAL jsonb_array_elements(verdicts) AS said
WHERE site_id = %(site_id)s AND batch_id >= %(from_id)s AND jsonb_typeof(verdicts) = 'array'
    AND said ->> 'event_id' = ANY(%(event_ids)s::text[]) AND said ->> 'verdict' <> 'stored'
