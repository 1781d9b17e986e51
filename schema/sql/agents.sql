-- User agents judged again, and what follows from it. `changed` is a temporary table of events whose agent turned out to
-- be a bot, or none: at first as they are stored, then as they become. `stage` is the drain's, so that counters and
-- marks have one definition.

-- name: count_outdated
-- How many user agents were judged by other rules than these.
SELECT count(*) FROM user_agents WHERE rules_version IS DISTINCT FROM %(rules)s

-- name: outdated
-- The next of them, with the verdicts that they have.
SELECT user_agent_id, user_agent, is_bot, browser, os, device_type, bot_reason FROM user_agents
WHERE rules_version IS DISTINCT FROM %(rules)s AND user_agent_id > %(after)s
ORDER BY user_agent_id LIMIT %(most)s

-- name: mark_renamed
-- Days with events whose browser or system gets another name: their figures say it.
INSERT INTO dirty_days (site_id, date)
SELECT DISTINCT site_id, local_day(occurred_at, time_zone, until)
FROM unnest(%(ids)s::integer[], %(browsers)s::text[], %(systems)s::text[]) AS v (user_agent_id, browser, os)
JOIN user_agents AS a USING (user_agent_id)
JOIN events USING (user_agent_id)
JOIN site_zones USING (site_id)
WHERE (a.browser, a.os) IS DISTINCT FROM (v.browser, v.os) AND occurred_at >= starts AND occurred_at < ends

-- name: judge
-- New verdicts. The rules' version is written when all that follows from them is: until then they are outdated.
UPDATE user_agents AS a SET
    browser = v.browser, os = v.os, device_type = v.device, bot_reason = v.reason, is_bot = v.reason IS NOT NULL
FROM unnest(%(ids)s::integer[], %(browsers)s::text[], %(systems)s::text[], %(devices)s::text[], %(reasons)s::text[])
    AS v (user_agent_id, browser, os, device, reason)
WHERE a.user_agent_id = v.user_agent_id

-- name: judged
-- These were judged by the present rules, and rows say so.
UPDATE user_agents SET rules_version = %(rules)s WHERE user_agent_id = ANY(%(ids)s)

-- name: events_of
-- How many events these user agents sent.
SELECT user_agent_id, count(*) FROM events WHERE user_agent_id = ANY(%(ids)s) GROUP BY user_agent_id

-- name: changed_days
-- Days, in UTC, with events that do not say what their user agent is, and how many.
SELECT date_trunc('day', occurred_at, 'UTC') AS starts, date_trunc('day', occurred_at, 'UTC') + interval '1 day' AS ends,
    count(*)
FROM events AS e JOIN user_agents AS a USING (user_agent_id)
WHERE e.is_bot <> a.is_bot GROUP BY 1 ORDER BY 1

-- name: make_changed
-- Lives as long as the connection; emptied by every commit and rollback.
CREATE TEMP TABLE IF NOT EXISTS changed (LIKE events) ON COMMIT DELETE ROWS

-- name: find_changed
-- Some of a day's events that do not say what their user agent is, locked.
INSERT INTO changed
SELECT e.* FROM events AS e JOIN user_agents AS a USING (user_agent_id)
WHERE e.is_bot <> a.is_bot AND e.occurred_at >= %(starts)s AND e.occurred_at < %(ends)s
LIMIT %(most)s FOR UPDATE OF e

-- name: users_of_changed
-- Users whose figures change with these events.
SELECT DISTINCT user_id FROM changed WHERE user_id IS NOT NULL ORDER BY user_id

-- name: turn_changed
-- As they become: bots, who have no user, and people, whose user is not known yet.
UPDATE changed SET is_bot = NOT is_bot, user_id = NULL, user_tenure_days = NULL

-- name: people
-- What a user is found by, of the events that turned out to be people's; times as microseconds since 1970.
SELECT site_id, event_id, (extract(epoch FROM occurred_at) * 1000000)::bigint AS occurred_at,
    (extract(epoch FROM received_at) * 1000000)::bigint AS received_at, batch_id, session_id, anonymous_id, claimed_user,
    auth_user_id
FROM changed WHERE NOT is_bot ORDER BY event_id, site_id

-- name: give_users
-- Gives them their users.
UPDATE changed AS c SET user_id = v.user_id, user_tenure_days = v.days
FROM unnest(%(sites)s::text[], %(event_ids)s::uuid[], %(users)s::bigint[], %(days)s::integer[])
    AS v (site_id, event_id, user_id, days)
WHERE (c.event_id, c.site_id) = (v.event_id, v.site_id)

-- name: move_changed
-- The events themselves. The bounds, which they keep, spare the other months.
UPDATE events AS e SET is_bot = c.is_bot, user_id = c.user_id, user_tenure_days = c.user_tenure_days
FROM changed AS c
WHERE (e.site_id, e.occurred_at, e.category, e.event_id) = (c.site_id, c.occurred_at, c.category, c.event_id)
  AND e.occurred_at >= %(starts)s AND e.occurred_at < %(ends)s

-- name: undo_links
-- Undoes the visitors' links that these events made and bots do not make; the mover enters what people's events say.
WITH undone AS (
    UPDATE identities AS i SET undone_at = clock_timestamp()
    FROM changed AS e JOIN identity_changes AS c
        ON (c.site_id, c.kind, c.value, c.event_id) = (e.site_id, 'anonymous', e.anonymous_id::text, e.event_id)
    WHERE e.is_bot AND c.action = 'linked' AND i.undone_at IS NULL
      AND (i.site_id, i.kind, i.value, i.valid_from, i.auth) = (c.site_id, c.kind, c.value, c.valid_from, c.auth)
    RETURNING i.*, e.event_id, e.batch_id
), marked AS (
    INSERT INTO dirty_identities (site_id, kind, value) SELECT DISTINCT site_id, kind, value FROM undone
)
INSERT INTO identity_changes (
    site_id, kind, value, auth, action, valid_from, user_id, user_before, changed_by, event_id, batch_id
)
SELECT u.site_id, u.kind, u.value, u.auth, 'reclassified', u.valid_from, coalesce(own.user_id, u.user_id), u.user_id,
    'reclassify', u.event_id, u.batch_id
FROM undone AS u
LEFT JOIN identities AS own
    ON (own.site_id, own.kind, own.value) = (u.site_id, u.kind, u.value) AND own.valid_from = '-infinity'

-- name: restate_first
-- Registered ids of which a bot's event was the earliest: when people's first was. Whom they are by email may change.
WITH lost AS (
    SELECT site_id, auth_user_id, min(occurred_at) AS at FROM changed WHERE is_bot AND auth_user_id IS NOT NULL
    GROUP BY 1, 2
), restated AS (
    UPDATE identities AS i SET first_at = (
        SELECT min(e.occurred_at)
        FROM (SELECT DISTINCT user_id FROM identity_users AS u
              WHERE (u.site_id, u.kind, u.value) = (i.site_id, 'auth', i.value)) AS u
        CROSS JOIN LATERAL (SELECT * FROM events WHERE events.user_id = u.user_id OFFSET 0) AS e
        WHERE e.site_id = i.site_id AND e.auth_user_id = i.value AND NOT e.is_bot)
    FROM lost WHERE (i.site_id, i.kind, i.value) = (lost.site_id, 'auth', lost.auth_user_id) AND lost.at <= i.first_at
    RETURNING i.site_id, i.value, i.first_at
), emails AS (
    UPDATE identities AS i SET undone_at = CASE WHEN r.first_at IS NULL THEN clock_timestamp() END
    FROM restated AS r
    WHERE i.site_id = r.site_id AND i.auth = r.value AND i.auth <> '' AND i.kind = 'email' AND i.undone_at IS NULL
    RETURNING i.site_id, i.kind, i.value, i.auth, i.valid_from, i.user_id, i.undone_at
), marked AS (
    INSERT INTO dirty_identities (site_id, kind, value) SELECT DISTINCT site_id, kind, value FROM emails
)
INSERT INTO identity_changes (site_id, kind, value, auth, action, valid_from, user_id, user_before, changed_by)
SELECT site_id, kind, value, auth, 'reclassified', valid_from, user_id, user_id, 'reclassify'
FROM emails WHERE undone_at IS NOT NULL

-- name: stage_changed
-- These events, for counters that add up and for marks.
INSERT INTO stage SELECT * FROM changed

-- name: stage_sessions
-- Every event of people in the sessions of these events. LATERAL with OFFSET 0 asks the index of sessions for each: with
-- its site beside it, a month without statistics was read by site instead, 18 ms a session.
INSERT INTO stage
SELECT e.* FROM (SELECT DISTINCT site_id, session_id FROM changed) AS s
CROSS JOIN LATERAL (SELECT * FROM events WHERE events.session_id = s.session_id OFFSET 0) AS e
WHERE e.site_id = s.site_id AND NOT e.is_bot

-- name: stage_users
-- Every event of these users, in the same way.
INSERT INTO stage
SELECT e.* FROM unnest(%(users)s::bigint[]) AS u (user_id)
CROSS JOIN LATERAL (SELECT * FROM events WHERE events.user_id = u.user_id OFFSET 0) AS e
WHERE NOT e.is_bot

-- name: clear_sessions
-- Sessions that are made anew from their events; one that has only bots' stays away.
DELETE FROM sessions AS s USING changed AS c WHERE (s.site_id, s.session_id) = (c.site_id, c.session_id)

-- name: clear_users
-- The same for users.
DELETE FROM users WHERE user_id = ANY(%(users)s)

-- name: shadow_trips
-- Comes before the table in the search path: what is stored now is only to be subtracted.
CREATE TEMP TABLE trip_interactions (LIKE public.trip_interactions INCLUDING ALL) ON COMMIT DROP

-- name: take_from_trips
-- Subtracts the shadow: there is no index by trip, so trips are not counted anew.
UPDATE public.trip_interactions AS t SET
    impression_count = t.impression_count - d.impression_count,
    click_count = t.click_count - d.click_count,
    save_count = t.save_count - d.save_count,
    whatsapp_contact_count = t.whatsapp_contact_count - d.whatsapp_contact_count,
    phone_contact_count = t.phone_contact_count - d.phone_contact_count,
    booking_start_count = t.booking_start_count - d.booking_start_count,
    total_dwell_time_ms = t.total_dwell_time_ms - d.total_dwell_time_ms,
    dwell_count = t.dwell_count - d.dwell_count
FROM trip_interactions AS d WHERE (t.site_id, t.trip_id) = (d.site_id, d.trip_id)

-- name: silent_trips
-- Trips without any count: only bots spoke of them, or people in ways that count nothing.
SELECT site_id, trip_id FROM trip_interactions
WHERE (impression_count, click_count, save_count, whatsapp_contact_count, phone_contact_count, booking_start_count,
       dwell_count) = (0, 0, 0, 0, 0, 0, 0)

-- name: spoken_of
-- Of these trips, those that people spoke of. An array is hashed; joined, each event was held against each trip.
SELECT site_id, trip_id FROM events WHERE trip_id = ANY(%(trips)s::bigint[]) AND NOT is_bot
UNION SELECT site_id, trip_id FROM base_trips WHERE trip_id = ANY(%(trips)s::bigint[])

-- name: forget_trips
-- Takes these trips out.
DELETE FROM trip_interactions AS t USING unnest(%(sites)s::text[], %(trips)s::bigint[]) AS v (site_id, trip_id)
WHERE (t.site_id, t.trip_id) = (v.site_id, v.trip_id)

-- name: change_requests
-- Requests for recommendations follow their user agents. Returns each site's earliest that did.
WITH turned AS (
    UPDATE recommendation_requests AS r SET is_bot = a.is_bot FROM user_agents AS a
    WHERE a.user_agent_id = r.user_agent_id AND r.is_bot <> a.is_bot
    RETURNING r.site_id, r.requested_at
)
SELECT site_id, min(requested_at), count(*) FROM turned GROUP BY site_id ORDER BY site_id
