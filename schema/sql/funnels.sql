-- How people went from step to step, from what days keep of it: nothing here may read events.

-- name: types
-- The numbers of these event types.
SELECT event_type, event_type_id FROM event_types WHERE event_type = ANY(%(names)s::text[])

-- name: many
-- How many events of some types the days have, and how many sessions.
SELECT (SELECT coalesce(sum(events), 0)::bigint FROM daily_steps
        WHERE site_id = %(site_id)s AND event_type_id = ANY(%(types)s::smallint[])
          AND date BETWEEN %(start)s AND %(end)s) AS events,
    (SELECT coalesce(sum(sessions), 0)::bigint FROM daily_walks
     WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s) AS sessions

-- name: walks
-- The days' sessions.
SELECT date, (extract(epoch FROM starts) * 1000000)::bigint AS starts, sessions, session_ids, began FROM daily_walks
WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s ORDER BY date

-- name: steps
-- The days' events of some types.
SELECT date, event_type_id, events, walks, after_ms, after_us FROM daily_steps
WHERE site_id = %(site_id)s AND event_type_id = ANY(%(types)s::smallint[]) AND date BETWEEN %(start)s AND %(end)s
ORDER BY event_type_id, date

-- name: users
-- Whose the sessions are that began in these days: ids and numbers, each 16 or 8 bytes after the other, in one order. As
-- arrays they took twice as long.
SELECT string_agg(uuid_send(session_id), ''::bytea) AS sessions, string_agg(int8send(user_id), ''::bytea) AS users
FROM sessions
WHERE site_id = %(site_id)s AND started_at >= %(starts)s AND started_at < %(ends)s AND user_id IS NOT NULL

-- name: users_of_others
-- The same of some sessions. LATERAL with OFFSET 0 asks the index for each.
SELECT string_agg(uuid_send(session_id), ''::bytea) AS sessions, string_agg(int8send(user_id), ''::bytea) AS users
FROM unnest(%(sessions)s::uuid[]) AS s (wanted)
CROSS JOIN LATERAL (
    SELECT session_id, user_id FROM sessions
    WHERE site_id = %(site_id)s AND session_id = s.wanted AND user_id IS NOT NULL OFFSET 0
) AS found
