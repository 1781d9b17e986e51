-- One day of one site, from its events to figures. The day's events are read once, into `day_events`, and what repeats
-- within a session is counted once, into `day_visits`; everything else is asked of these. Each query from `stats` on gives
-- the rows of one table of figures, without site and date.

-- name: make_day_events
-- Lives as long as the connection; emptied by every commit and rollback.
CREATE TEMP TABLE IF NOT EXISTS day_events (
    occurred_at timestamptz, trip_id bigint, dwell_ms bigint, event_id uuid, session_id uuid, anonymous_id uuid,
    event_type_id smallint, path_id integer, page_id integer, referrer_id integer, source_id integer,
    user_agent_id integer, device_type_id integer, screen_id integer, is_view boolean, is_click boolean,
    is_idle boolean, visitor text, owner_code text, share_code text, click_target text, click_category text,
    page_type text, country text, utm jsonb
) ON COMMIT DELETE ROWS

-- name: make_day_visits
-- The same, of events that agree in all that describes them.
CREATE TEMP TABLE IF NOT EXISTS day_visits (
    events bigint, views bigint, clicks bigint, session_id uuid, path_id integer, page_id integer, referrer_id integer,
    source_id integer, user_agent_id integer, device_type_id integer, screen_id integer, owner_code text,
    share_code text, country text, utm jsonb
) ON COMMIT DELETE ROWS

-- name: empty_day
-- Makes room for the next day of the same transaction.
TRUNCATE day_events, day_visits

-- name: fill_day_events
-- What the figures need of the day's events. Idle is what comes without the visitor doing anything. Kinds are found per
-- type, not per event: comparing its words cost a quarter of the scan.
WITH kinds AS MATERIALIZED (
    SELECT event_type_id, event_type = 'page_view' AS is_view, event_type IN ('click_trip', 'click') AS is_click,
        event_type IN ('impression', 'results_view', 'scroll_depth', 'trip_dwell', 'session_start', 'session.started',
                       'user_identify') AS is_idle, event_type = 'trip_dwell' AS is_dwell
    FROM event_types
)
INSERT INTO day_events
SELECT occurred_at, trip_id, CASE WHEN is_dwell THEN dwell_ms(metadata) END, event_id, session_id, anonymous_id,
    event_type_id, path_id, page_id, referrer_id, source_id, user_agent_id, device_type_id, screen_id, is_view, is_click,
    is_idle, CASE WHEN anonymous_id IS NULL THEN visitor_key(anonymous_id, claimed_user, batch_id) END,
    coalesce(owner_code, ''), coalesce(share_code, ''), click_target, click_category, page_type, country, utm
FROM events JOIN kinds USING (event_type_id)
WHERE site_id = %(site_id)s AND occurred_at >= %(starts)s AND occurred_at < %(ends)s AND NOT is_bot

-- name: fill_day_visits
-- From day_events; of 30 events of a session, five or six are left.
INSERT INTO day_visits
SELECT count(*), count(*) FILTER (WHERE is_view), count(*) FILTER (WHERE is_click), session_id, path_id, page_id,
    referrer_id, source_id, user_agent_id, device_type_id, screen_id, owner_code, share_code, country, utm
FROM day_events
GROUP BY session_id, path_id, page_id, referrer_id, source_id, user_agent_id, device_type_id, screen_id, owner_code,
    share_code, country, utm

-- name: types
-- Per event type how often, in how many sessions, by whom: by their key, which is the anonymous id where there is one.
-- Visitors come as a list, once a session: their sketch is made by the library that reads it, and counts them once.
SELECT event_type_id, sum(n)::bigint AS events, count(DISTINCT session_id) AS sessions,
    array_agg(coalesce(anonymous_id::text, visitor)) AS visitors
FROM (SELECT event_type_id, session_id, anonymous_id, visitor, count(*) AS n FROM day_events GROUP BY 1, 2, 3, 4) AS counted
GROUP BY event_type_id ORDER BY event_type_id

-- name: stats
-- The day as a whole; no row where nothing happened. Its visitors were found among the types'.
SELECT sum(views)::bigint AS total_views, %(unique_users)s::bigint AS unique_users, %(visitors)s::bytea AS visitors,
    (SELECT coalesce(jsonb_object_agg(text, n), '{}')
     FROM (SELECT path_id, sum(views)::bigint AS n FROM day_visits WHERE views > 0 GROUP BY 1) AS p
     JOIN texts ON text_id = path_id) AS path_stats
FROM day_visits HAVING count(*) > 0

-- name: user_stats
-- Per owner code; sessions and share codes are counted once each.
SELECT owner_code, count(*) AS total_sessions, sum(views)::bigint AS total_page_views,
    sum(clicks)::bigint AS total_clicks, coalesce(min(codes), '{}') AS unique_share_codes
FROM (SELECT owner_code, session_id, sum(views) AS views, sum(clicks) AS clicks FROM day_visits GROUP BY 1, 2) AS counted
LEFT JOIN (SELECT owner_code, array_agg(DISTINCT share_code ORDER BY share_code) AS codes
           FROM day_visits WHERE share_code <> '' GROUP BY 1) AS shared USING (owner_code)
GROUP BY owner_code

-- name: group_stats
-- Per owner and share code.
SELECT owner_code, share_code, count(*) AS total_sessions, sum(views)::bigint AS total_page_views,
    sum(clicks)::bigint AS total_clicks
FROM (SELECT owner_code, share_code, session_id, sum(views) AS views, sum(clicks) AS clicks
      FROM day_visits GROUP BY 1, 2, 3) AS counted
GROUP BY owner_code, share_code

-- name: click_targets
-- Every click, by what was clicked; in the key's order, so that a month is read in a tenth of the pages.
SELECT owner_code, share_code, coalesce(click_target, '') AS click_target, coalesce(click_category, '') AS click_category,
    count(*) AS click_count
FROM day_events WHERE is_click GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4

-- name: page_stats
-- Every page view, by the kind of page, in the key's order.
SELECT owner_code, share_code, coalesce(page_type, '') AS page_type, count(*) AS view_count
FROM day_events WHERE is_view GROUP BY 1, 2, 3 ORDER BY 1, 2, 3

-- name: trips
-- What happened to each trip; the same events as trip_interactions. Packed, in the order of ids; no row of no trips.
WITH summed AS (
    SELECT trip_id,
        coalesce(sum(n) FILTER (WHERE event_type = 'impression'), 0)::bigint AS impressions,
        coalesce(sum(n) FILTER (WHERE event_type IN ('click_trip', 'click')), 0)::bigint AS clicks,
        coalesce(sum(n) FILTER (WHERE event_type = 'save_trip'), 0)::bigint AS saves,
        coalesce(sum(n) FILTER (WHERE event_type = 'contact_whatsapp'), 0)::bigint AS whatsapp_contacts,
        coalesce(sum(n) FILTER (WHERE event_type = 'contact_phone'), 0)::bigint AS phone_contacts,
        coalesce(sum(n) FILTER (WHERE event_type = 'booking_start'), 0)::bigint AS booking_starts,
        coalesce(sum(ms), 0)::bigint AS dwell_ms, sum(dwells)::bigint AS dwells
    FROM (SELECT trip_id, event_type_id, count(*) AS n, sum(dwell_ms) AS ms, count(dwell_ms) AS dwells
          FROM day_events WHERE trip_id IS NOT NULL GROUP BY 1, 2) AS counted
    JOIN event_types USING (event_type_id) GROUP BY trip_id
), most AS (
    SELECT max(trip_id) AS trip_id, max(impressions) AS impressions, max(clicks) AS clicks, max(saves) AS saves,
        max(whatsapp_contacts) AS whatsapp_contacts, max(phone_contacts) AS phone_contacts,
        max(booking_starts) AS booking_starts, max(dwell_ms) AS dwell_ms, max(dwells) AS dwells
    FROM summed
)
SELECT count(*)::integer AS trips,
    string_agg(packed(s.trip_id, most.trip_id), ''::bytea ORDER BY s.trip_id) AS trip_ids,
    string_agg(packed(s.impressions, most.impressions), ''::bytea ORDER BY s.trip_id) AS impressions,
    string_agg(packed(s.clicks, most.clicks), ''::bytea ORDER BY s.trip_id) AS clicks,
    string_agg(packed(s.saves, most.saves), ''::bytea ORDER BY s.trip_id) AS saves,
    string_agg(packed(s.whatsapp_contacts, most.whatsapp_contacts), ''::bytea ORDER BY s.trip_id) AS whatsapp_contacts,
    string_agg(packed(s.phone_contacts, most.phone_contacts), ''::bytea ORDER BY s.trip_id) AS phone_contacts,
    string_agg(packed(s.booking_starts, most.booking_starts), ''::bytea ORDER BY s.trip_id) AS booking_starts,
    string_agg(packed(s.dwell_ms, most.dwell_ms), ''::bytea ORDER BY s.trip_id) AS dwell_ms,
    string_agg(packed(s.dwells, most.dwells), ''::bytea ORDER BY s.trip_id) AS dwells
FROM summed AS s CROSS JOIN most HAVING count(*) > 0

-- name: walked
-- The day's events as a funnel needs them, a row a type: whose and when, each 16 or 8 bytes after the other, in one order.
SELECT event_type_id, count(*)::integer AS events, string_agg(uuid_send(session_id), ''::bytea) AS sessions,
    string_agg(timestamptz_send(occurred_at), ''::bytea) AS moments
FROM day_events GROUP BY event_type_id ORDER BY event_type_id

-- name: walks
-- The day's sessions, packed; no row where there are none.
SELECT %(starts)s::timestamptz AS starts, %(sessions)s::integer AS sessions, %(session_ids)s::bytea AS session_ids,
    %(began)s::bytea AS began
WHERE %(sessions)s::integer > 0

-- name: steps
-- Each type's events, packed.
SELECT event_type_id, events, walks, after_ms, after_us
FROM unnest(%(types)s::smallint[], %(events)s::integer[], %(walks)s::bytea[], %(after_ms)s::bytea[], %(after_us)s::bytea[])
    AS packed (event_type_id, events, walks, after_ms, after_us)

-- name: sessions
-- The day's sessions; no row where there are none. The histogram's buckets are those between the given edges.
WITH visits AS (
    SELECT count(*) AS events, count(*) FILTER (WHERE is_view) AS views,
        count(*) FILTER (WHERE is_view) = 1 AND bool_and(is_view OR is_idle) AS is_bounce,
        floor(extract(epoch FROM max(occurred_at) - min(occurred_at)) * 1000)::bigint AS length_ms
    FROM day_events GROUP BY session_id
), buckets AS (
    SELECT width_bucket(length_ms, %(edges)s::bigint[]) AS bucket, count(*) AS n FROM visits GROUP BY 1
)
SELECT count(*) AS sessions, count(*) FILTER (WHERE is_bounce) AS bounces, sum(views)::bigint AS page_views,
    sum(events)::bigint AS events, sum(length_ms)::bigint AS length_ms,
    (SELECT array_agg(coalesce(n, 0) ORDER BY place)
     FROM generate_series(0, cardinality(%(edges)s::bigint[])) AS place LEFT JOIN buckets ON bucket = place)
        AS length_ms_histogram
FROM visits HAVING count(*) > 0

-- name: dimensions
-- Every value of every dimension; words are looked up last. A session is counted once a value. In the index's order:
-- so they lie side by side, and a dimension is read in a tenth of the pages.
WITH hosts AS MATERIALIZED (
    SELECT text_id, host_of(text) AS host
    FROM (SELECT referrer_id AS text_id FROM day_visits UNION SELECT page_id FROM day_visits) AS addresses
    JOIN texts USING (text_id)
), ends AS MATERIALIZED (
    SELECT session_id, (array_agg(path_id ORDER BY occurred_at, event_id))[1] AS first,
        (array_agg(path_id ORDER BY occurred_at DESC, event_id DESC))[1] AS last
    FROM day_events WHERE is_view AND path_id IS NOT NULL GROUP BY session_id
), whole AS MATERIALIZED (
    SELECT session_id, first, last, sum(events) AS events, sum(views) AS views
    FROM day_visits JOIN ends USING (session_id) GROUP BY 1, 2, 3
), of_texts (dimension, text_id, session_id, events, views) AS (
    SELECT 'source', source_id, session_id, sum(events), sum(views) FROM day_visits GROUP BY 2, 3
    UNION ALL
    SELECT 'device', device_type_id, session_id, sum(events), sum(views) FROM day_visits GROUP BY 2, 3
    UNION ALL
    SELECT 'screen', screen_id, session_id, sum(events), sum(views) FROM day_visits GROUP BY 2, 3
    UNION ALL
    SELECT 'path', path_id, session_id, sum(events), sum(views) FROM day_visits GROUP BY 2, 3
    UNION ALL
    SELECT 'entry_path', first, session_id, events, views FROM whole
    UNION ALL
    SELECT 'exit_path', last, session_id, events, views FROM whole
), agents AS MATERIALIZED (
    SELECT browser, os, session_id, sum(events) AS events, sum(views) AS views
    FROM (SELECT user_agent_id, session_id, sum(events) AS events, sum(views) AS views FROM day_visits GROUP BY 1, 2) AS v
    JOIN user_agents USING (user_agent_id) GROUP BY 1, 2, 3
), tagged AS MATERIALIZED (
    SELECT utm, session_id, sum(events) AS events, sum(views) AS views
    FROM day_visits WHERE utm IS NOT NULL GROUP BY 1, 2
), found (dimension, value, events, views, sessions) AS (
    SELECT dimension, text, n.events, n.views, n.sessions
    FROM (SELECT dimension, text_id, sum(events) AS events, sum(views) AS views, count(*) AS sessions
          FROM of_texts WHERE text_id IS NOT NULL GROUP BY 1, 2) AS n JOIN texts USING (text_id)
    UNION ALL
    SELECT 'referrer', host, sum(events), sum(views), count(*)
    FROM (SELECT r.host, session_id, sum(events) AS events, sum(views) AS views
          FROM day_visits JOIN hosts AS r ON r.text_id = referrer_id LEFT JOIN hosts AS p ON p.text_id = page_id
          WHERE r.host IS DISTINCT FROM p.host GROUP BY 1, 2) AS came GROUP BY 2
    UNION ALL
    SELECT 'country', country, sum(events), sum(views), count(*)
    FROM (SELECT country, session_id, sum(events) AS events, sum(views) AS views
          FROM day_visits WHERE country IS NOT NULL GROUP BY 1, 2) AS v GROUP BY 2
    UNION ALL
    SELECT 'browser', browser, sum(events), sum(views), count(DISTINCT session_id) FROM agents GROUP BY 2
    UNION ALL
    SELECT 'os', os, sum(events), sum(views), count(DISTINCT session_id) FROM agents GROUP BY 2
    UNION ALL
    SELECT name, utm ->> name, sum(events), sum(views), count(DISTINCT session_id)
    FROM tagged CROSS JOIN unnest('{utm_source,utm_medium,utm_campaign,utm_term,utm_content}'::text[]) AS name
    GROUP BY 1, 2
)
SELECT dimension, value, events::bigint, views::bigint AS page_views, sessions FROM found WHERE value <> ''
ORDER BY dimension, md5(value)::uuid
