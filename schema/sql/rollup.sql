-- From events to hours and days. Every statement of one rollup sees the same snapshot (REPEATABLE READ).

-- name: claim_hours
-- Takes the dirty marks that this snapshot sees, of at most so many hours; a mark made meanwhile stays for the next
-- rollup.
WITH bucket AS (SELECT DISTINCT site_id, hour FROM dirty_hours ORDER BY site_id, hour LIMIT %(most)s),
    claimed AS (DELETE FROM dirty_hours WHERE (site_id, hour) IN (SELECT site_id, hour FROM bucket))
SELECT site_id, hour AS bucket, hour AS starts, hour + interval '1 hour' AS ends FROM bucket
ORDER BY site_id, hour

-- name: claim_days
-- The same for days, whose bounds are midnights of the site's own time zone.
WITH bucket AS (SELECT DISTINCT site_id, date FROM dirty_days ORDER BY site_id, date LIMIT %(most)s),
    claimed AS (DELETE FROM dirty_days WHERE (site_id, date) IN (SELECT site_id, date FROM bucket))
SELECT site_id, date AS bucket, site_day_starts(site_id, date) AS starts, site_day_starts(site_id, date + 1) AS ends
FROM bucket JOIN sites USING (site_id)
ORDER BY site_id, date

-- name: claim_request_days
-- The same for days of requests for recommendations.
WITH bucket AS (SELECT DISTINCT site_id, date FROM dirty_recommendation_days ORDER BY site_id, date LIMIT %(most)s),
    claimed AS (DELETE FROM dirty_recommendation_days WHERE (site_id, date) IN (SELECT site_id, date FROM bucket))
SELECT site_id, date AS bucket, site_day_starts(site_id, date) AS starts, site_day_starts(site_id, date + 1) AS ends
FROM bucket JOIN sites USING (site_id)
ORDER BY site_id, date

-- name: mark
-- Marks a day of one site, or of all, with the hours that it overlaps; returns the sites.
WITH wanted AS (
    SELECT site_id, %(date)s::date AS date FROM sites WHERE site_id = coalesce(%(site_id)s::text, site_id)
), hours AS (
    INSERT INTO dirty_hours (site_id, hour)
    SELECT site_id, hour FROM wanted
    CROSS JOIN LATERAL generate_series(date_trunc('hour', site_day_starts(site_id, date), 'UTC'),
        site_day_starts(site_id, date + 1) - interval '1 microsecond', interval '1 hour') AS hour
), asked AS (
    INSERT INTO dirty_recommendation_days (site_id, date) SELECT site_id, date FROM wanted
)
INSERT INTO dirty_days (site_id, date) SELECT site_id, date FROM wanted ORDER BY site_id
RETURNING site_id

-- name: complete
-- Nothing is dirty any more that was committed before this transaction began.
UPDATE rolled_up SET as_of = greatest(as_of, now())

-- name: bucket
-- One bucket's figures per event type. Visitors come as a list: their sketch is made by the library that reads it.
SELECT event_type_id, count(*) AS events, count(DISTINCT session_id) AS sessions,
    array_agg(DISTINCT visitor_key(anonymous_id, claimed_user, batch_id)) AS visitors
FROM events
WHERE site_id = %(site_id)s AND occurred_at >= %(starts)s AND occurred_at < %(ends)s AND NOT is_bot
GROUP BY event_type_id
ORDER BY event_type_id

-- name: clear_hour
-- A recomputed hour replaces what was there.
WITH of_all_types AS (DELETE FROM hourly_stats WHERE site_id = %(site_id)s AND hour = %(bucket)s)
DELETE FROM rollup_hourly
WHERE site_id = %(site_id)s AND event_type_id = ANY (ARRAY(SELECT event_type_id FROM event_types)) AND hour = %(bucket)s

-- name: clear_day
-- A recomputed day replaces what was there.
DELETE FROM daily_events WHERE site_id = %(site_id)s AND date = %(bucket)s

-- name: clear_request_day
-- A recomputed day replaces what was there.
DELETE FROM recommendation_daily WHERE site_id = %(site_id)s AND date = %(bucket)s

-- name: add_hour
-- One type's figures of one hour.
INSERT INTO rollup_hourly (site_id, hour, event_type_id, events, sessions, unique_users, visitors)
VALUES (%(site_id)s, %(bucket)s, %(event_type_id)s, %(events)s, %(sessions)s, %(unique_users)s, %(visitors)s)

-- name: add_whole_hour
-- The same of all types together.
INSERT INTO hourly_stats (site_id, hour, events, unique_users)
VALUES (%(site_id)s, %(bucket)s, %(events)s, %(unique_users)s)

-- name: add_day
-- One type's figures of one day.
INSERT INTO daily_events (site_id, date, event_type_id, events, sessions, visitors)
VALUES (%(site_id)s, %(bucket)s, %(event_type_id)s, %(events)s, %(sessions)s, %(visitors)s)

-- name: add_request_day
-- One day's figures of recommendations.
INSERT INTO recommendation_daily (
    site_id, date, requests, relaxed_requests, empty_requests, low_score_requests, sessions, response_us_sum,
    response_us_max, response_us_histogram, top_score_sum, top_score_count, used, searches, impressions, clicks,
    contacts, bookings, by_position
)
VALUES (
    %(site_id)s, %(bucket)s, %(requests)s, %(relaxed_requests)s, %(empty_requests)s, %(low_score_requests)s,
    %(sessions)s::bytea, %(response_us_sum)s, %(response_us_max)s, %(response_us_histogram)s, %(top_score_sum)s,
    %(top_score_count)s, %(used)s, %(searches)s, %(impressions)s, %(clicks)s, %(contacts)s, %(bookings)s,
    %(by_position)s
)
