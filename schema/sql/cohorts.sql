-- Who came back: from users and their sessions, which hold for ever.

-- name: cohorts
-- How many users were first seen in each week of a span (week = cohort), and how many of them had a session that began
-- or ended in each later one; weeks are counted from 1.
WITH week AS (
    SELECT array_agg(site_day_starts(%(site_id)s, %(start)s::date + 7 * n) ORDER BY n) AS starts
    FROM generate_series(0, %(weeks)s::int - 1) AS n
), newcomer AS MATERIALIZED (
    SELECT user_id, cohort, (SELECT starts FROM week)[cohort + 1] AS until
    FROM users CROSS JOIN LATERAL (SELECT width_bucket(first_seen_at, (SELECT starts FROM week))) AS b (cohort)
    WHERE site_id = %(site_id)s AND first_seen_at >= %(starts)s AND first_seen_at < %(ends)s AND total_events > 0
), seen AS (
    SELECT user_id, started_at, least(last_seen_at, %(ends)s::timestamptz - interval '1 microsecond') AS last_seen_at
    FROM sessions WHERE site_id = %(site_id)s AND started_at >= %(starts)s AND started_at < %(ends)s
), active AS (  -- most sessions are over with their user's first week: leaving them out first spares half of the time
    SELECT user_id, cohort, width_bucket(at, (SELECT starts FROM week)) AS week
    FROM newcomer JOIN seen USING (user_id) CROSS JOIN LATERAL (VALUES (started_at), (last_seen_at)) AS moment (at)
    WHERE last_seen_at >= until
)
SELECT cohort, cohort AS week, count(*) AS users FROM newcomer GROUP BY cohort
UNION ALL
SELECT cohort, week, count(*) FROM (SELECT DISTINCT user_id, cohort, week FROM active WHERE week > cohort) AS each_once
GROUP BY cohort, week
