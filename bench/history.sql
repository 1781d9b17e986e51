-- Four hundred days of a trip marketplace, made by Postgres itself: sessions of some twelve events each, of visitors of
-- whom few come often, on paths and trips of which few are liked most; more at weekends, in summer and in the evening.

-- name: seed
SELECT setseed(%(seed)s)

-- name: words
-- 40 search pages, 460 pages of trips, and what else an event repeats.
INSERT INTO texts (site_id, text)
SELECT 'default', text FROM (
    SELECT '/search/' || n AS text FROM generate_series(1, 40) AS n
    UNION ALL SELECT '/trips/' || n FROM generate_series(1, 460) AS n
    UNION ALL SELECT 'https://trips.example/search/' || n FROM generate_series(1, 40) AS n
    UNION ALL SELECT 'https://www.site-' || n || '.example/' FROM generate_series(1, 60) AS n
    UNION ALL SELECT unnest('{mobile,desktop,tablet,search_results,relaxed_results,homepage,trip_detail,email}'::text[])
) AS made
ON CONFLICT DO NOTHING

-- name: agents
-- Thirty browsers.
INSERT INTO user_agents (user_agent, browser, os, is_bot, device_type)
SELECT 'Mozilla/5.0 bench/' || n, (ARRAY['Chrome', 'Safari', 'Firefox', 'Edge'])[1 + n % 4],
    (ARRAY['Windows', 'Android', 'iOS', 'Mac OS X', 'Linux'])[1 + n % 5], false,
    (ARRAY['mobile', 'desktop', 'tablet'])[1 + n % 3]
FROM generate_series(1, 30) AS n
ON CONFLICT DO NOTHING

-- name: months
-- The partitions that the days lie in.
SELECT ensure_month(category, month::date)
FROM unnest(enum_range(NULL::event_category)) AS category,
    generate_series(date_trunc('month', %(first)s::timestamp), %(last)s::timestamp, '1 month') AS month

-- name: day
-- One day's sessions. A session's kth event is, in this order: its start, a view, a search, results, then by chance.
WITH word AS MATERIALIZED (
    SELECT (SELECT array_agg(text_id ORDER BY text_id) FROM texts WHERE text ~ '^/') AS paths,
        (SELECT array_agg(text_id ORDER BY text_id) FROM texts WHERE text ~ '/search/' AND text ~ '^https') AS pages,
        (SELECT array_agg(text_id ORDER BY text_id) FROM texts WHERE text ~ '^https://www.site') AS referrers,
        (SELECT array_agg(text_id ORDER BY text) FROM texts WHERE text IN ('mobile', 'desktop', 'tablet')) AS devices,
        (SELECT array_agg(text_id ORDER BY text) FROM texts
         WHERE text IN ('search_results', 'relaxed_results', 'homepage', 'trip_detail', 'email')) AS sources,
        (SELECT array_agg(user_agent_id ORDER BY user_agent_id) FROM user_agents) AS agents,
        (SELECT json_object_agg(event_type, event_type_id)::jsonb FROM event_types) AS types
),
session AS MATERIALIZED (
    SELECT n, gen_random_uuid() AS session_id, gen_random_uuid() AS batch_id, gen_random_uuid() AS request_id,
        1 + floor(%(visitors)s * power(random(), 2.5))::bigint AS visitor, 2 + floor(random() * 21)::int AS size,
        %(day)s::timestamptz + interval '1 day' * (0.5 * random() + 0.5 * sqrt(random())) AS began,
        floor(random() * random() * 60)::int AS referrer, floor(random() * 3)::int AS device,
        floor(random() * 30)::int AS agent, floor(random() * 12)::int AS campaign
    FROM generate_series(1, %(sessions)s) AS n
),
told AS (
    SELECT s.*, k, CASE k WHEN 1 THEN 'session_start' WHEN 2 THEN 'page_view' WHEN 3 THEN 'search_submit'
        WHEN 4 THEN 'results_view'
        ELSE (ARRAY['impression', 'impression', 'impression', 'impression', 'impression', 'page_view', 'page_view',
            'click_trip', 'click_trip', 'trip_dwell', 'trip_dwell', 'scroll_depth', 'save_trip', 'filter_change',
            'click', 'contact_whatsapp', 'booking_start', 'payment.completed'])
            [1 + floor(CASE WHEN random() < 0.9 THEN 15 ELSE 18 END * random())::int] END AS event_type
    FROM session AS s CROSS JOIN LATERAL generate_series(1, s.size) AS k
)
INSERT INTO events (
    occurred_at, received_at, user_id, trip_id, score, category, user_agent_id, referrer_id, page_id, path_id,
    source_id, device_type_id, position, event_type_id, is_bot, event_id, batch_id, session_id, anonymous_id,
    recommendation_request_id, site_id, country, owner_code, share_code, click_target, click_category, page_type, utm,
    metadata
)
SELECT began + k * interval '11 seconds', began + k * interval '11 seconds', visitor,
    CASE WHEN is_about_trip THEN 1 + floor(10000 * power(random(), 3))::bigint END,
    CASE WHEN is_about_trip THEN 30 + floor(random() * 70) END, t.category, agents[agent + 1],
    CASE WHEN k = 2 THEN referrers[referrer + 1] END,
    CASE WHEN event_type = 'page_view' THEN pages[1 + floor(random() * 40)::int] END,
    CASE WHEN event_type = 'page_view' THEN paths[1 + floor(500 * power(random(), 2))::int] END,
    CASE WHEN is_about_trip THEN sources[1 + floor(random() * 5)::int] END, devices[device + 1],
    CASE WHEN is_about_trip THEN floor(random() * 30)::int END, t.event_type_id, false, gen_random_uuid(), batch_id,
    session_id, md5('visitor ' || visitor)::uuid, CASE WHEN is_about_trip THEN request_id END, 'default',
    (ARRAY['IL', 'US', 'DE', 'FR', 'GB'])[1 + visitor %% 5], CASE WHEN n %% 4 = 0 THEN 'owner-' || n %% 50 END,
    CASE WHEN n %% 8 = 0 THEN 'share-' || n %% 200 END,
    CASE WHEN event_type = 'click' THEN 'button-' || floor(random() * 20) END,
    CASE WHEN event_type = 'click' THEN 'navigation' END,
    CASE WHEN event_type = 'page_view' THEN (ARRAY['search', 'trip', 'home'])[1 + floor(random() * 3)::int] END,
    CASE WHEN k = 2 AND campaign < 6 THEN jsonb_build_object('utm_source', 'newsletter', 'utm_medium', 'email',
        'utm_campaign', 'campaign-' || campaign) END,
    CASE WHEN event_type = 'trip_dwell' THEN jsonb_build_object('duration_seconds', round((random() * 90)::numeric, 2))
        WHEN event_type = 'search_submit' THEN jsonb_build_object('budget', 1000 + floor(random() * 5000)) END
FROM told CROSS JOIN word JOIN event_types AS t USING (event_type)
    CROSS JOIN LATERAL (SELECT event_type IN ('impression', 'click_trip', 'trip_dwell', 'save_trip',
        'contact_whatsapp', 'booking_start') AS is_about_trip) AS about
ORDER BY began + k * interval '11 seconds'

-- name: mark_hours
-- As the drain would have marked them.
INSERT INTO dirty_hours SELECT DISTINCT site_id, date_trunc('hour', occurred_at) FROM events

-- name: mark_days
-- The same of days.
INSERT INTO dirty_days
SELECT DISTINCT site_id, (occurred_at AT TIME ZONE time_zone)::date FROM events JOIN sites USING (site_id)

-- name: users
-- Whoever the events are of.
INSERT INTO users (user_id, site_id, first_seen_at, last_seen_at, total_events)
SELECT user_id, site_id, min(occurred_at), max(occurred_at), count(*) FROM events GROUP BY 1, 2

-- name: sessions
-- The sessions that they make up, in the order in which drains would have stored them.
INSERT INTO sessions (session_id, site_id, user_id, anonymous_id, started_at, last_seen_at, page_view_count, event_count)
SELECT session_id, site_id, min(user_id), min(anonymous_id::text)::uuid, min(occurred_at), max(occurred_at),
    count(*) FILTER (WHERE event_type_id = (SELECT event_type_id FROM event_types WHERE event_type = 'page_view')),
    count(*)
FROM events GROUP BY 1, 2 ORDER BY min(occurred_at)
