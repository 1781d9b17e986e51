-- The questions of the reports, asked of events as they are: what a report replaces.

-- name: overview
-- Events by type, with everybody and their sessions, bots left out, of the days and of as many before them.
SELECT is_current, event_type_id, count(*), count(DISTINCT session_id), count(DISTINCT anonymous_id)
FROM (SELECT occurred_at >= %(starts)s AS is_current, event_type_id, session_id, anonymous_id FROM events
      WHERE site_id = 'default' AND NOT is_bot AND occurred_at < %(ends)s
          AND occurred_at >= %(starts)s::date - (%(ends)s::date - %(starts)s::date)) AS spans
GROUP BY GROUPING SETS ((is_current, event_type_id), (is_current))

-- name: series
-- Events by day.
SELECT (occurred_at AT TIME ZONE %(zone)s)::date, count(*), count(DISTINCT session_id), count(DISTINCT anonymous_id)
FROM events WHERE site_id = 'default' AND NOT is_bot AND occurred_at >= %(starts)s AND occurred_at < %(ends)s
GROUP BY 1 ORDER BY 1

-- name: visitors
-- Everybody, exactly.
SELECT count(DISTINCT anonymous_id) FROM events
WHERE site_id = 'default' AND NOT is_bot AND occurred_at >= %(starts)s AND occurred_at < %(ends)s

-- name: sessions
-- Sessions with length and views.
SELECT count(*), avg(length), sum(views), percentile_cont(0.5) WITHIN GROUP (ORDER BY length)
FROM (SELECT extract(epoch FROM max(occurred_at) - min(occurred_at)) AS length,
          count(*) FILTER (WHERE event_type = 'page_view') AS views
      FROM events JOIN event_types USING (event_type_id)
      WHERE site_id = 'default' AND NOT is_bot AND occurred_at >= %(starts)s AND occurred_at < %(ends)s
      GROUP BY session_id) AS each

-- name: paths
-- The paths most viewed.
SELECT text, count(*), count(DISTINCT session_id) FROM events JOIN texts ON text_id = path_id
WHERE events.site_id = 'default' AND NOT is_bot AND occurred_at >= %(starts)s AND occurred_at < %(ends)s
GROUP BY 1 ORDER BY 2 DESC LIMIT 100

-- name: referrers
-- Where visitors came from.
SELECT text, count(*), count(DISTINCT session_id) FROM events JOIN texts ON text_id = referrer_id
WHERE events.site_id = 'default' AND NOT is_bot AND occurred_at >= %(starts)s AND occurred_at < %(ends)s
GROUP BY 1 ORDER BY 2 DESC LIMIT 100

-- name: campaigns
-- By which campaign.
SELECT utm ->> 'utm_campaign', count(*), count(DISTINCT session_id) FROM events
WHERE site_id = 'default' AND NOT is_bot AND occurred_at >= %(starts)s AND occurred_at < %(ends)s AND utm IS NOT NULL
GROUP BY 1 ORDER BY 2 DESC LIMIT 100

-- name: targets
-- What was clicked.
SELECT click_target, click_category, count(*) FROM events
WHERE site_id = 'default' AND NOT is_bot AND occurred_at >= %(starts)s AND occurred_at < %(ends)s
    AND click_target IS NOT NULL
GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 100

-- name: trips
-- What happened to each trip.
SELECT trip_id, count(*) FILTER (WHERE event_type = 'impression'), count(*) FILTER (WHERE event_type = 'click_trip'),
    count(*) FILTER (WHERE event_type = 'save_trip'), count(*) FILTER (WHERE event_type = 'contact_whatsapp'),
    sum(dwell_ms(metadata)) FILTER (WHERE event_type = 'trip_dwell')
FROM events JOIN event_types USING (event_type_id)
WHERE site_id = 'default' AND NOT is_bot AND occurred_at >= %(starts)s AND occurred_at < %(ends)s AND trip_id IS NOT NULL
GROUP BY 1 ORDER BY 2 DESC LIMIT 100

-- name: owners
-- Whose pages were looked at.
SELECT owner_code, count(DISTINCT session_id), count(*) FILTER (WHERE event_type = 'page_view') FROM events
JOIN event_types USING (event_type_id)
WHERE site_id = 'default' AND NOT is_bot AND occurred_at >= %(starts)s AND occurred_at < %(ends)s
GROUP BY 1 ORDER BY 2 DESC LIMIT 100

-- name: funnel
-- Sessions from a view to a search to a click to a booking, each within a week of the first.
WITH step AS MATERIALIZED (
    SELECT session_id, occurred_at, event_type FROM events JOIN event_types USING (event_type_id)
    WHERE site_id = 'default' AND NOT is_bot AND occurred_at >= %(starts)s AND occurred_at < %(ends)s
        AND event_type IN ('page_view', 'search_submit', 'click_trip', 'booking_start')
), one AS MATERIALIZED (SELECT session_id, min(occurred_at) AS at FROM step WHERE event_type = 'page_view' GROUP BY 1),
two AS MATERIALIZED (SELECT session_id, min(s.occurred_at) AS at FROM one JOIN step AS s USING (session_id)
        WHERE event_type = 'search_submit' AND s.occurred_at >= one.at GROUP BY 1),
three AS MATERIALIZED (SELECT session_id, min(s.occurred_at) AS at FROM two JOIN step AS s USING (session_id)
          WHERE event_type = 'click_trip' AND s.occurred_at >= two.at GROUP BY 1),
four AS (SELECT session_id FROM three JOIN step AS s USING (session_id)
         WHERE event_type = 'booking_start' AND s.occurred_at >= three.at GROUP BY 1)
SELECT (SELECT count(*) FROM one), (SELECT count(*) FROM two), (SELECT count(*) FROM three), (SELECT count(*) FROM four)

-- name: retention
-- Users by the week in which they were first seen, and those who came back in each later one.
WITH first AS (SELECT user_id, min(date_trunc('week', occurred_at)) AS week FROM events WHERE site_id = 'default' GROUP BY 1),
active AS (SELECT DISTINCT user_id, date_trunc('week', occurred_at) AS week FROM events
           WHERE site_id = 'default' AND occurred_at >= %(starts)s AND occurred_at < %(ends)s)
SELECT first.week, active.week, count(*) FROM first JOIN active USING (user_id) WHERE first.week >= %(starts)s GROUP BY 1, 2
