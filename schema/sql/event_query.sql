-- Single events, for whoever wants to look at them.

-- name: types
-- The numbers of these event types, and their categories, under which all of their events lie.
SELECT event_type, event_type_id, category::text FROM event_types WHERE event_type = ANY(%(names)s::text[])

-- name: days
-- The days that two moments are of.
SELECT site_day(%(site_id)s, %(first)s), site_day(%(site_id)s, %(last)s)

-- name: users_of
-- The users that an identity of a site stands for, or that were its own.
SELECT DISTINCT u.user_id
FROM identities CROSS JOIN LATERAL (VALUES (user_id), (own_user_id)) AS u (user_id)
WHERE site_id = %(site_id)s AND kind = %(kind)s AND value = %(value)s AND u.user_id IS NOT NULL

-- name: sessions_of
-- The sessions that a visitor began.
SELECT session_id FROM sessions WHERE site_id = %(site_id)s AND anonymous_id = %(value)s::uuid

-- name: page
-- The next events of a span that fit, newest first; the ids break ties, so that a page begins where the last one ended.
-- Only what is shown is put into words, one by one: joining the words took longer to plan than to do.
WITH page AS MATERIALIZED (
    SELECT * FROM events
    WHERE site_id = %(site_id)s AND occurred_at >= %(starts)s AND occurred_at < %(ends)s
      AND (%(types)s::smallint[] IS NULL OR event_type_id = ANY(%(types)s::smallint[])
           AND category = ANY(%(categories)s::event_category[]))
      AND (%(users)s::bigint[] IS NULL OR user_id = ANY(%(users)s::bigint[])
           OR session_id = ANY(%(sessions)s::uuid[]) OR claimed_user = %(claimed)s::text)
      AND (%(user_id)s::bigint IS NULL OR user_id = %(user_id)s::bigint)
      AND (%(session)s::uuid IS NULL OR session_id = %(session)s::uuid)
      AND (%(visitor)s::uuid IS NULL OR anonymous_id = %(visitor)s::uuid)
      AND (%(bots)s::bool OR NOT is_bot)
      AND (%(after_at)s::timestamptz IS NULL
           OR (occurred_at <= %(after_at)s::timestamptz
               AND (occurred_at, event_id) < (%(after_at)s::timestamptz, %(after_id)s::uuid)))
      AND (%(keys)s::text[] IS NULL OR NOT EXISTS (
           SELECT FROM unnest(%(keys)s::text[], %(values)s::text[]) AS wanted (key, value)
           WHERE (metadata ->> key = value OR metadata #>> string_to_array(key, '.') = value) IS NOT TRUE))
    ORDER BY occurred_at DESC, event_id DESC LIMIT %(most)s
)
SELECT e.event_id, event_type, e.occurred_at, e.received_at, e.session_id, e.anonymous_id AS visitor, e.user_id,
    e.auth_user_id, e.claimed_user, e.is_bot, e.trip_id, e.recommendation_request_id,
    (SELECT text FROM texts WHERE text_id = e.source_id) AS source, e.position, e.score,
    (SELECT text FROM texts WHERE text_id = e.path_id) AS path,
    nullif(coalesce((SELECT text FROM texts WHERE text_id = e.page_id), '') || coalesce(e.page_query, ''), '') AS page_url,
    (SELECT text FROM texts WHERE text_id = e.referrer_id) AS referrer,
    (SELECT text FROM texts WHERE text_id = e.device_type_id) AS device_type,
    (SELECT text FROM texts WHERE text_id = e.screen_id) AS screen, e.country, e.owner_code, e.share_code, e.contact_id,
    e.click_target, e.click_category, e.page_type, e.utm, e.metadata, e.batch_id
FROM page AS e
JOIN event_types USING (event_type_id)
ORDER BY e.occurred_at DESC, e.event_id DESC
