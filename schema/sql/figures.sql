-- A site's figures of days, from the daily tables alone: nothing here may read events.

-- name: types
-- Events per type, over all days.
SELECT event_type, sum(events)::bigint AS events
FROM daily_events JOIN event_types USING (event_type_id)
WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s
GROUP BY event_type ORDER BY events DESC, event_type

-- name: visitors
-- The sketches of visitors, one a day and event type.
SELECT visitors FROM daily_events WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s

-- name: sessions
-- What sessions were, a row a day.
SELECT sessions, bounces, page_views, events, length_ms, length_ms_histogram FROM daily_sessions
WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s
