-- Answered requests for recommendations: what the drain stores of them, what a day of them adds up to, and reading it.

-- name: store_requests
-- One row a request; a request that is there already stays as it is.
INSERT INTO recommendation_requests (
    request_id, site_id, requested_at, session_id, anonymous_id, preferences, filters, search_type, policy_id,
    policy_version, results, primary_count, relaxed_count, total_candidates, top_score, mean_score, min_score,
    response_time_us, user_agent_id, is_bot
)
SELECT request_id, site_id, requested_at, session_id, anonymous_id, preferences::jsonb,
    ARRAY(SELECT jsonb_array_elements_text(filters::jsonb)), search_type, policy_id,
    policy_version, results::jsonb, primary_count, relaxed_count, total_candidates, top_score, mean_score, min_score,
    response_time_us, user_agent_id, is_bot
FROM unnest(
    %(request_id)s::uuid[], %(site_id)s::text[], %(requested_at)s::timestamptz[], %(session_id)s::uuid[],
    %(anonymous_id)s::uuid[], %(preferences)s::text[], %(filters)s::text[], %(search_type)s::text[],
    %(policy_id)s::text[], %(policy_version)s::integer[], %(results)s::text[], %(primary_count)s::smallint[],
    %(relaxed_count)s::smallint[], %(total_candidates)s::integer[], %(top_score)s::smallint[],
    %(mean_score)s::real[], %(min_score)s::smallint[], %(response_time_us)s::integer[], %(user_agent_id)s::integer[],
    %(is_bot)s::boolean[]
) AS asked (
    request_id, site_id, requested_at, session_id, anonymous_id, preferences, filters, search_type, policy_id,
    policy_version, results, primary_count, relaxed_count, total_candidates, top_score, mean_score, min_score,
    response_time_us, user_agent_id, is_bot
)
ORDER BY requested_at, request_id
ON CONFLICT DO NOTHING

-- name: mark_asked
-- The day of each request in its site's time zone, and every later one up to now: its events may have come before it,
-- through another lane, and been rolled up as nobody's. An hour more, for clocks that are ahead of Postgres'.
INSERT INTO dirty_recommendation_days (site_id, date)
SELECT DISTINCT site_id, first + n
FROM (
    SELECT site_id, min(local_day(at, time_zone, until)) AS first, max(local_day(at, time_zone, until)) AS last
    FROM unnest(%(site_id)s::text[], %(requested_at)s::timestamptz[]) WITH ORDINALITY AS a (site_id, requested_at, place)
    CROSS JOIN LATERAL (VALUES (requested_at), (greatest(requested_at, now() + interval '1 hour'))) AS b (at)
    JOIN site_zones USING (site_id)
    WHERE at >= starts AND at < ends
    GROUP BY site_id, place
) AS asked
CROSS JOIN LATERAL generate_series(0, last - first) AS n

-- name: mark_every_asked
-- Every day on which somebody asked, for a rebuild.
INSERT INTO dirty_recommendation_days (site_id, date)
SELECT DISTINCT site_id, local_day(requested_at, time_zone, until)
FROM recommendation_requests JOIN site_zones USING (site_id) WHERE requested_at >= starts AND requested_at < ends

-- name: mark_answered
-- Days on which staged events speak of a request.
INSERT INTO dirty_recommendation_days (site_id, date)
SELECT DISTINCT site_id, local_day(occurred_at, time_zone, until)
FROM stage JOIN site_zones USING (site_id)
WHERE recommendation_request_id IS NOT NULL AND occurred_at >= starts AND occurred_at < ends

-- name: totals
-- What a day's requests add up to; bots' are left out. Scores below the given one are low.
SELECT count(*) AS requests,
    count(*) FILTER (WHERE relaxed_count > 0) AS relaxed_requests,
    count(*) FILTER (WHERE results = '[]') AS empty_requests,
    count(*) FILTER (WHERE top_score < %(low_score)s) AS low_score_requests,
    coalesce(sum(response_time_us), 0)::bigint AS response_us_sum,
    coalesce(max(response_time_us), 0) AS response_us_max,
    coalesce(sum(top_score), 0)::bigint AS top_score_sum,
    count(top_score) AS top_score_count,
    coalesce(array_agg(DISTINCT session_id::text) FILTER (WHERE session_id IS NOT NULL), '{}') AS sessions
FROM recommendation_requests
WHERE site_id = %(site_id)s AND requested_at >= %(starts)s AND requested_at < %(ends)s AND NOT is_bot

-- name: response_times
-- How many of a day's answers took how long, in the given buckets.
SELECT width_bucket(response_time_us::bigint, %(edges)s::bigint[]) AS bucket, count(*)
FROM recommendation_requests
WHERE site_id = %(site_id)s AND requested_at >= %(starts)s AND requested_at < %(ends)s AND NOT is_bot
GROUP BY bucket

-- name: used
-- How many of a day's requests used each filter.
SELECT coalesce(jsonb_object_agg(filter, n), '{}')
FROM (
    SELECT filter, count(*) AS n
    FROM recommendation_requests CROSS JOIN LATERAL (SELECT DISTINCT unnest(filters) AS filter) AS each_once
    WHERE site_id = %(site_id)s AND requested_at >= %(starts)s AND requested_at < %(ends)s AND NOT is_bot
    GROUP BY filter) AS counted

-- name: searches
-- How many of a day's requests asked for each continent, type, theme and country. Lax paths: preferences of any shape
-- give what they hold, and none stops the rollup.
SELECT coalesce(jsonb_object_agg(kind, found), '{}')
FROM (
    SELECT kind, jsonb_object_agg(wanted, n) AS found
    FROM (
        SELECT kind, wanted, count(*) AS n
        FROM recommendation_requests
        CROSS JOIN (VALUES
            ('continents', 'lax $.selected_continents[*]'::jsonpath), ('types', 'lax $.preferred_type_id'),
            ('themes', 'lax $.preferred_theme_ids[*]'), ('countries', 'lax $.selected_countries[*]')
        ) AS k (kind, path)
        CROSS JOIN LATERAL (
            SELECT DISTINCT one #>> '{}' AS wanted FROM jsonb_path_query(preferences, path) AS one
            WHERE jsonb_typeof(one) IN ('string', 'number')
        ) AS each_once
        WHERE site_id = %(site_id)s AND requested_at >= %(starts)s AND requested_at < %(ends)s AND NOT is_bot
        GROUP BY kind, wanted) AS counted
    GROUP BY kind) AS kinds

-- name: answers
-- What visitors did with recommendations on one day, by the position where each trip was shown: where the event says,
-- else where the log does. An event counts where its request is logged on the same day or before. Bookings are those
-- begun: a completed one was begun before, and would count twice.
SELECT CASE WHEN place IS NOT NULL THEN least(greatest(place, 1), %(positions)s) END AS at,
    count(*) FILTER (WHERE event_type = 'impression') AS impressions,
    count(*) FILTER (WHERE event_type IN ('click_trip', 'click')) AS clicks,
    count(*) FILTER (WHERE event_type IN ('contact_whatsapp', 'contact_phone')) AS contacts,
    count(*) FILTER (WHERE event_type = 'booking_start') AS bookings
FROM events AS e
JOIN event_types USING (event_type_id)
JOIN (
    SELECT request_id, site_id, requested_at, is_bot, results FROM recommendation_requests
    UNION ALL SELECT request_id, site_id, requested_at, is_bot, results FROM base_requests
) AS r ON r.request_id = e.recommendation_request_id AND r.site_id = e.site_id
CROSS JOIN LATERAL (
    SELECT coalesce(e.position, (
        SELECT (shown ->> 'position')::integer FROM jsonb_array_elements(r.results) AS shown
        WHERE (shown ->> 'trip_id')::bigint = e.trip_id LIMIT 1))
) AS p (place)
WHERE e.site_id = %(site_id)s AND e.occurred_at >= %(starts)s AND e.occurred_at < %(ends)s AND NOT e.is_bot
  AND e.recommendation_request_id IS NOT NULL AND r.requested_at < %(ends)s AND NOT r.is_bot
GROUP BY at ORDER BY at

-- name: freshness
-- Until when figures are complete (null: never rolled up), and whether those of these days may still change by themselves.
SELECT nullif(as_of, '-infinity'), as_of = '-infinity'
    OR site_day_starts(%(site_id)s, %(last)s::date + 1) > date_trunc('hour', as_of, 'UTC')
    OR EXISTS (SELECT FROM dirty_recommendation_days
               WHERE site_id = %(site_id)s AND date BETWEEN %(first)s AND %(last)s)
FROM rolled_up

-- name: days_between
-- The figures of a site's days, both bounds included.
SELECT date, requests, relaxed_requests, empty_requests, low_score_requests, sessions, response_us_sum,
    response_us_max, response_us_histogram, top_score_sum, top_score_count, used, impressions, clicks, contacts,
    bookings, by_position
FROM recommendation_daily
WHERE site_id = %(site_id)s AND date BETWEEN %(first)s AND %(last)s
ORDER BY date

-- name: top_searches
-- What was asked for most, of each kind, with its names where the catalogue has them.
SELECT kind, wanted, name_en, name_he, asked
FROM (
    SELECT kind, wanted, sum(n::bigint)::bigint AS asked,
        row_number() OVER (PARTITION BY kind ORDER BY sum(n::bigint) DESC, wanted) AS place
    FROM recommendation_daily
    CROSS JOIN LATERAL jsonb_each(searches) AS k (kind, found)
    CROSS JOIN LATERAL jsonb_each_text(found) AS w (wanted, n)
    WHERE site_id = %(site_id)s AND date BETWEEN %(first)s AND %(last)s
    GROUP BY kind, wanted
) AS ranked
LEFT JOIN (
    SELECT 'continents', continent, name_en, name_he FROM continents
    UNION ALL SELECT 'countries', country, name_en, name_he FROM countries
    UNION ALL SELECT 'types', type_id::text, name_en, name_he FROM trip_types
    UNION ALL SELECT 'themes', tag_id::text, name_en, name_he FROM tags
) AS names (kind, wanted, name_en, name_he) USING (kind, wanted)
WHERE place <= %(limit)s
ORDER BY kind, place
