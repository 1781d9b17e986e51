-- A site's figures of days and hours, from their own tables alone: nothing here may read events.

-- name: unknown_types
-- Those of some names that are no event type's.
SELECT name FROM unnest(%(types)s::text[]) AS name
WHERE NOT EXISTS (SELECT FROM event_types WHERE event_type = name) ORDER BY name

-- name: types
-- Events per type, over all days from some day on, and over those before it.
SELECT event_type, coalesce(sum(events) FILTER (WHERE date >= %(since)s), 0)::bigint AS events,
    coalesce(sum(events) FILTER (WHERE date < %(since)s), 0)::bigint AS before
FROM daily_events JOIN event_types USING (event_type_id)
WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s
GROUP BY event_type

-- name: visitors
-- The sketches of everybody, one a day.
SELECT date, visitors FROM daily_stats WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s

-- name: sessions
-- What sessions were, a row a day.
SELECT date, sessions, bounces, page_views, events, length_ms, length_ms_histogram FROM daily_sessions
WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s ORDER BY date

-- name: days
-- Every day on which there was something, all types together (type null).
SELECT date, NULL AS event_type, events, sessions, visitors
FROM daily_stats JOIN daily_sessions USING (site_id, date)
WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s

-- name: days_of_types
-- Every day of some types.
SELECT date, event_type, events, sessions, visitors
FROM daily_events JOIN event_types USING (event_type_id)
WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s AND event_type = ANY (%(types)s::text[])

-- name: spans_of_types
-- Some types, or each (null), in rows that make up a span: whole weeks, from `monday` up to `past`, and the days around
-- them, which are a third of what the span's days are. A week is replaced together with its days.
SELECT event_type, events, sessions, visitors
FROM (SELECT event_type_id, events, sessions, visitors FROM weekly_events
      WHERE site_id = %(site_id)s AND date >= %(monday)s AND date < %(past)s
      UNION ALL
      SELECT event_type_id, events, sessions, visitors FROM daily_events
      WHERE site_id = %(site_id)s AND date >= %(start)s AND date < %(monday)s
      UNION ALL
      SELECT event_type_id, events, sessions, visitors FROM daily_events
      WHERE site_id = %(site_id)s AND date >= %(past)s AND date <= %(end)s) AS part
JOIN event_types USING (event_type_id)
WHERE %(types)s::text[] IS NULL OR event_type = ANY (%(types)s::text[])

-- name: hours
-- Every hour of all types together, by how many hours after the first: what sessions they were in is not counted, and
-- how many visitors is.
SELECT date_part('epoch', hour - date_trunc('hour', %(starts)s, 'UTC'))::integer / 3600 AS place, NULL AS event_type,
    events, NULL AS sessions, unique_users
FROM hourly_stats
WHERE site_id = %(site_id)s AND hour >= date_trunc('hour', %(starts)s, 'UTC') AND hour < %(ends)s

-- name: hours_of_types
-- The same of some types, from their key alone.
SELECT date_part('epoch', hour - date_trunc('hour', %(starts)s, 'UTC'))::integer / 3600 AS place, event_type, events,
    sessions, unique_users
FROM rollup_hourly JOIN event_types USING (event_type_id)
WHERE site_id = %(site_id)s AND hour >= date_trunc('hour', %(starts)s, 'UTC') AND hour < %(ends)s
  AND event_type = ANY (%(types)s::text[])

-- name: hours_between
-- Every hour that a span overlaps, with what clocks show in the zone that the site had then, and that zone's last day,
-- where it had another one later; hours are UTC's. Of dates and texts a month took half as long again.
SELECT hour, hour AT TIME ZONE time_zone, nullif(until, 'infinity') - 1
FROM generate_series(date_trunc('hour', %(starts)s, 'UTC'), %(ends)s - interval '1 microsecond', '1 hour') AS hour
JOIN site_zones ON site_id = %(site_id)s AND hour >= site_zones.starts AND hour < site_zones.ends
ORDER BY hour

-- name: trips
-- What there was of trips, packed, in rows that make up a span: each of its months to date, less what the first of them
-- had before the span. Two or three rows say thirty days.
SELECT sign, to_date.*
FROM (SELECT 1 AS sign, month::date AS first, least((month + interval '1 month')::date - 1, %(end)s) AS last
      FROM generate_series(date_trunc('month', %(start)s::date::timestamp), %(end)s, '1 month') AS month
      UNION ALL SELECT -1, date_trunc('month', %(start)s::date::timestamp)::date, %(start)s::date - 1) AS part
CROSS JOIN LATERAL (
    SELECT trips, trip_ids, impressions, clicks, saves, whatsapp_contacts, phone_contacts, booking_starts, dwell_ms, dwells,
        days
    FROM month_to_date_trips WHERE site_id = %(site_id)s AND date BETWEEN first AND last
    ORDER BY date DESC LIMIT 1) AS to_date

-- name: trips_of_days
-- The same of a few days, as they are: late in a month, the two months to date that make a day are four times as long.
SELECT 1 AS sign, trips, trip_ids, impressions, clicks, saves, whatsapp_contacts, phone_contacts, booking_starts, dwell_ms,
    dwells, decode(repeat('01', trips), 'hex') AS days
FROM daily_trips WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s

-- name: titles
-- What the catalogue says of some trips, where it has them.
SELECT occurrence_id, title_en, title_he, starts_on
FROM trip_occurrences LEFT JOIN trip_templates USING (template_id) WHERE occurrence_id = ANY (%(trip_ids)s::bigint[])

-- name: owners
-- Owner codes with their sums and every share code of theirs, in the order asked for.
WITH page AS (
    SELECT owner_code, sum(total_sessions)::bigint AS sessions, sum(total_page_views)::bigint AS page_views,
        sum(total_clicks)::bigint AS clicks, count(*) OVER () AS total
    FROM daily_user_stats
    WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s
      AND (%(owner)s::text IS NULL OR owner_code = %(owner)s::text) AND owner_code <> ''
    GROUP BY owner_code
    ORDER BY %(sign)s::int * CASE %(sort)s::text WHEN 'sessions' THEN sum(total_sessions)
        WHEN 'pageViews' THEN sum(total_page_views) WHEN 'clicks' THEN sum(total_clicks) END, owner_code COLLATE "C"
    LIMIT %(limit)s OFFSET %(offset)s
), codes AS (
    SELECT owner_code, array_agg(DISTINCT code ORDER BY code) AS share_codes
    FROM daily_user_stats CROSS JOIN unnest(unique_share_codes) AS code
    WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s AND owner_code IN (SELECT owner_code FROM page)
    GROUP BY owner_code
)
SELECT owner_code, sessions, page_views, clicks, coalesce(share_codes, '{}') AS share_codes, total
FROM page LEFT JOIN codes USING (owner_code)
ORDER BY %(sign)s::int * CASE %(sort)s::text WHEN 'sessions' THEN sessions WHEN 'pageViews' THEN page_views
    WHEN 'clicks' THEN clicks END, owner_code COLLATE "C"

-- name: groups
-- Pairs of owner and share code, in the order asked for; what has neither is left out.
SELECT owner_code, share_code, sum(total_sessions)::bigint AS sessions, sum(total_page_views)::bigint AS page_views,
    sum(total_clicks)::bigint AS clicks, count(*) OVER () AS total
FROM daily_group_stats
WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s AND (owner_code, share_code) <> ('', '')
  AND (%(owner)s::text IS NULL OR owner_code = %(owner)s::text) AND (%(share)s::text IS NULL OR share_code = %(share)s::text)
GROUP BY owner_code, share_code
ORDER BY %(sign)s::int * CASE %(sort)s::text WHEN 'sessions' THEN sum(total_sessions)
    WHEN 'pageViews' THEN sum(total_page_views) WHEN 'clicks' THEN sum(total_clicks) END,
    owner_code COLLATE "C", share_code COLLATE "C"
LIMIT %(limit)s OFFSET %(offset)s
