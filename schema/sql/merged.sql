-- From days to weeks and months: of one of a site, which begins with `bucket` and ends before `ends`. What is named for a
-- table's figures gives its rows, without site and date.

-- name: days
-- Each type's days.
SELECT event_type_id, events, sessions, visitors FROM daily_events
WHERE site_id = %(site_id)s AND date >= %(bucket)s AND date < %(ends)s
ORDER BY event_type_id, date

-- name: events
-- Each type's sums.
SELECT event_type_id, events, sessions, visitors
FROM unnest(%(types)s::smallint[], %(events)s::bigint[], %(sessions)s::bigint[], %(visitors)s::bytea[])
    AS merged (event_type_id, events, sessions, visitors)

-- name: dimensions
-- Every value of every dimension; in the index's order, like those of days. A session that crosses midnight counts in both.
SELECT dimension, value, sum(events)::bigint AS events, sum(page_views)::bigint AS page_views,
    sum(sessions)::bigint AS sessions
FROM daily_dimensions WHERE site_id = %(site_id)s AND date >= %(bucket)s AND date < %(ends)s
GROUP BY dimension, value ORDER BY dimension, md5(value)::uuid

-- name: trips_of_days
-- What its days have packed.
SELECT trips, trip_ids, impressions, clicks, saves, whatsapp_contacts, phone_contacts, booking_starts, dwell_ms, dwells
FROM daily_trips WHERE site_id = %(site_id)s AND date >= %(bucket)s AND date < %(ends)s

-- name: trips
-- Their sums, packed; no row where there are none.
SELECT %(trips)s::integer AS trips, %(trip_ids)s::bytea AS trip_ids, %(impressions)s::bytea AS impressions,
    %(clicks)s::bytea AS clicks, %(saves)s::bytea AS saves, %(whatsapp_contacts)s::bytea AS whatsapp_contacts,
    %(phone_contacts)s::bytea AS phone_contacts, %(booking_starts)s::bytea AS booking_starts,
    %(dwell_ms)s::bytea AS dwell_ms, %(dwells)s::bytea AS dwells
WHERE %(trips)s::integer > 0
