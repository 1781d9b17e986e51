-- What is past its limit, where floors lie, and which days are closed.

-- name: months
-- Every month of events by category or of requests (category null), oldest first, and whether one waits for its
-- detaching to end. The last year that there is has no end that a calendar could say.
SELECT p.relname AS parent, c.relname AS name, substr(nullif(p.relname, 'recommendation_requests'), 8) AS category,
    to_date(right(c.relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC' AS starts,
    (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' AS ends,
    inhdetachpending AS is_pending
FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid JOIN pg_class AS p ON p.oid = inhparent
WHERE p.relnamespace = 'public'::regnamespace AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
    AND p.relname ~ '^(recommendation_requests|events_[a-z_]+)$' AND c.relname !~ '_9999_[0-9]{2}$'
ORDER BY starts, name

-- name: loose_months
-- Tables named like months that are none: a crash came between detaching and dropping, or somebody detached them.
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT relispartition
    AND relname ~ '^(events_[a-z_]+|recommendation_requests)_[0-9]{4}_[0-9]{2}$'
ORDER BY relname

-- name: limits
-- Up to when each category's rows are past its limit.
SELECT category::text, %(at)s::timestamptz - retention FROM category_limits

-- name: cuts
-- Rows that go before their month does: by site and category, which types, before which hour, and the day that it lies
-- in. Only what is the site's own to decide follows raw_days: a term for transactions and content is set by law.
SELECT site_id, category::text AS category, types, day AS floor, site_day_starts(site_id, day) AS floor_at,
    date_trunc('hour', site_day_starts(site_id, day), 'UTC') AS before
FROM (
    SELECT site_id, category, site_day(site_id, cut) AS day, array_agg(event_type_id) AS types
    FROM sites
    CROSS JOIN event_types AS t
    JOIN category_limits AS c USING (category)
    CROSS JOIN LATERAL (
        SELECT greatest(%(at)s::timestamptz - t.retention, CASE WHEN category IN ('interaction', 'user_activity')
            THEN %(at)s::timestamptz - make_interval(days => raw_days) END) AS cut
    ) AS own
    WHERE cut > %(at)s::timestamptz - c.retention
    GROUP BY site_id, category, day
) AS cut
ORDER BY site_id, category, before

-- name: request_cuts
-- The same for requests for recommendations, of sites that keep rows for less long than interactions are kept.
SELECT site_id, day AS floor, site_day_starts(site_id, day) AS floor_at,
    date_trunc('hour', site_day_starts(site_id, day), 'UTC') AS before
FROM (
    SELECT site_id, site_day(site_id, cut) AS day
    FROM sites
    JOIN category_limits ON category = 'interaction'
    CROSS JOIN LATERAL (SELECT %(at)s::timestamptz - make_interval(days => raw_days) AS cut) AS own
    WHERE cut > %(at)s::timestamptz - retention
) AS cut
ORDER BY site_id

-- name: floors_above
-- Every site's first day that begins at a moment or after it. Rows of sites that are none have UTC's.
SELECT site_id, day, coalesce(site_day_starts(site_id, day), day_starts(day, 'UTC'))
FROM (SELECT site_id FROM sites UNION SELECT unnest(%(sites)s::text[])) AS s
CROSS JOIN LATERAL (SELECT %(moment)s::timestamptz - interval '1 microsecond' AS at) AS before
CROSS JOIN LATERAL (SELECT coalesce(site_day(site_id, at), (at AT TIME ZONE 'UTC')::date) + 1 AS day) AS d
ORDER BY site_id

-- name: count_cut
-- How many rows of one cut are there, from a moment on: those before it go with their month.
SELECT count(*) FROM events
WHERE site_id = %(site_id)s AND category = %(category)s::event_category AND event_type_id = ANY(%(types)s::smallint[])
    AND occurred_at >= %(since)s AND occurred_at < %(before)s

-- name: count_requests
-- The same for requests.
SELECT count(*) FROM recommendation_requests
WHERE site_id = %(site_id)s AND requested_at >= %(since)s AND requested_at < %(before)s

-- name: hold_floors
-- A drain holds this while it reads floors and until its rows are committed.
SELECT pg_advisory_xact_lock_shared(hashtext('tripstream.floors'))

-- name: wait_for_drains
-- Gets through when every transaction that may have read lower floors is over.
SELECT pg_advisory_xact_lock(hashtext('tripstream.floors'))

-- name: floors
-- Where these sites' events are too old, in microseconds since 1970, and the day in words.
SELECT site_id, (extract(epoch FROM floor_at) * 1000000)::bigint, floor::text FROM floors WHERE site_id = ANY(%(sites)s)

-- name: set_floors
-- Floors only rise.
INSERT INTO floors AS f (site_id, floor, floor_at)
SELECT * FROM unnest(%(sites)s::text[], %(days)s::date[], %(moments)s::timestamptz[]) ORDER BY 1
ON CONFLICT (site_id) DO UPDATE SET floor = excluded.floor, floor_at = excluded.floor_at
WHERE f.floor < excluded.floor AND f.floor_at < excluded.floor_at

-- name: close
-- Closes the days below the floors, of sites of which none of them waits for a rollup.
UPDATE floors AS f SET closed = floor, closed_hour = date_trunc('hour', floor_at, 'UTC')
WHERE closed < floor
    AND NOT EXISTS (SELECT FROM dirty_hours AS d WHERE d.site_id = f.site_id AND d.hour < f.floor_at)
    AND NOT EXISTS (SELECT FROM dirty_days AS d WHERE d.site_id = f.site_id AND d.date < f.floor)
    AND NOT EXISTS (SELECT FROM dirty_recommendation_days AS d WHERE d.site_id = f.site_id AND d.date < f.floor)

-- name: not_closed
-- How many sites have days below their floor that are not closed.
SELECT count(*) FROM floors WHERE closed < floor

-- name: forget_closed
-- Marks of closed hours and days: their rows are not all there, and what was computed of them stays.
WITH hours AS (DELETE FROM dirty_hours AS d USING floors AS f WHERE d.site_id = f.site_id AND d.hour < f.closed_hour),
    days AS (DELETE FROM dirty_days AS d USING floors AS f WHERE d.site_id = f.site_id AND d.date < f.closed)
DELETE FROM dirty_recommendation_days AS d USING floors AS f WHERE d.site_id = f.site_id AND d.date < f.closed

-- name: set_category_limit
-- How long a category is kept; no row where there is none of that name.
UPDATE category_limits SET retention = make_interval(days => %(days)s) WHERE category::text = %(name)s RETURNING category

-- name: set_type_limit
-- The same for one event type, unless its category goes before; says which that is, and whether it does.
WITH asked AS (
    SELECT event_type_id, category, now() - make_interval(days => %(days)s) < now() - c.retention AS is_longer
    FROM event_types JOIN category_limits AS c USING (category) WHERE event_type = %(name)s
), changed AS (
    UPDATE event_types AS t SET retention = make_interval(days => %(days)s)
    FROM asked WHERE t.event_type_id = asked.event_type_id AND NOT is_longer
)
SELECT category::text, is_longer FROM asked

-- name: show_limits
-- Categories, the types that go before their category does, and the sites that keep their rows for less long.
SELECT kind, name, days
FROM (
    SELECT 1, 'category', category::text, now() - (now() - retention) FROM category_limits
    UNION ALL
    SELECT 2, 'event type', event_type, now() - (now() - t.retention)
    FROM event_types AS t JOIN category_limits AS c USING (category) WHERE now() - t.retention > now() - c.retention
    UNION ALL
    SELECT 3, 'site', site_id, make_interval(days => raw_days) FROM sites WHERE raw_days IS NOT NULL
) AS limits (place, kind, name, kept)
CROSS JOIN LATERAL (SELECT extract(days FROM kept)::integer AS days) AS d
ORDER BY place, name
