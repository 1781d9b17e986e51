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

-- name: trips_before
-- What a `month`, which is its first day, had of trips to date when `since` began; no row where it was nothing.
SELECT 1 AS sign, trips, trip_ids, impressions, clicks, saves, whatsapp_contacts, phone_contacts, booking_starts, dwell_ms,
    dwells, days
FROM month_to_date_trips WHERE site_id = %(site_id)s AND date >= %(month)s AND date < %(since)s
ORDER BY date DESC LIMIT 1

-- name: trips_since
-- What each of its days from `since` on has packed, each trip on one day; null where only month_to_date_trips has the day.
SELECT date, 1 AS sign, trips, trip_ids, impressions, clicks, saves, whatsapp_contacts, phone_contacts, booking_starts,
    dwell_ms, dwells, decode(repeat('01', trips), 'hex') AS days
FROM (SELECT site_id, date FROM daily_trips WHERE site_id = %(site_id)s AND date >= %(since)s AND date < %(ends)s
      UNION
      SELECT site_id, date FROM month_to_date_trips WHERE site_id = %(site_id)s AND date >= %(since)s AND date < %(ends)s
     ) AS there
LEFT JOIN daily_trips USING (site_id, date) ORDER BY date

-- name: trips
-- The month to date, packed; no row of no trips.
SELECT %(trips)s::integer AS trips, %(trip_ids)s::bytea AS trip_ids, %(impressions)s::bytea AS impressions,
    %(clicks)s::bytea AS clicks, %(saves)s::bytea AS saves, %(whatsapp_contacts)s::bytea AS whatsapp_contacts,
    %(phone_contacts)s::bytea AS phone_contacts, %(booking_starts)s::bytea AS booking_starts,
    %(dwell_ms)s::bytea AS dwell_ms, %(dwells)s::bytea AS dwells, %(days)s::bytea AS days
WHERE %(trips)s::integer > 0
