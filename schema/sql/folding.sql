-- What goes, and what stays of it. `stage` is a view of a month, or a temporary table of rows that were just deleted;
-- users, sessions and trip_interactions are then empty temporary tables, into which the drain's own queries count.

-- name: open_rows
-- Sites with staged rows that may not go yet.
SELECT DISTINCT site_id FROM stage LEFT JOIN floors USING (site_id)
WHERE occurred_at >= coalesce(closed_hour, '-infinity')

-- name: open_requests
-- The same for requests.
SELECT DISTINCT site_id FROM asked LEFT JOIN floors USING (site_id)
WHERE requested_at >= coalesce(closed_hour, '-infinity')

-- name: fold_events
-- Adds the number of staged rows to what is gone.
INSERT INTO base_events AS b (site_id, events) SELECT site_id, count(*) FROM stage GROUP BY site_id ORDER BY site_id
ON CONFLICT (site_id) DO UPDATE SET events = b.events + excluded.events

-- name: fold_users
-- Adds what was counted of the staged rows to the base rows.
INSERT INTO base_users AS b
    (user_id, site_id, first_seen_at, last_seen_at, total_searches, total_clicks, total_events)
SELECT user_id, site_id, first_seen_at, last_seen_at, total_searches, total_clicks, total_events
FROM users ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET
    first_seen_at = least(b.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(b.last_seen_at, excluded.last_seen_at),
    total_searches = b.total_searches + excluded.total_searches,
    total_clicks = b.total_clicks + excluded.total_clicks,
    total_events = b.total_events + excluded.total_events

-- name: fold_trips
-- The same for trips.
INSERT INTO base_trips AS b (
    site_id, trip_id, impression_count, click_count, save_count, whatsapp_contact_count, phone_contact_count,
    booking_start_count, total_dwell_time_ms, dwell_count
)
SELECT site_id, trip_id, impression_count, click_count, save_count, whatsapp_contact_count, phone_contact_count,
    booking_start_count, total_dwell_time_ms, dwell_count
FROM trip_interactions ORDER BY site_id, trip_id
ON CONFLICT (site_id, trip_id) DO UPDATE SET
    impression_count = b.impression_count + excluded.impression_count,
    click_count = b.click_count + excluded.click_count,
    save_count = b.save_count + excluded.save_count,
    whatsapp_contact_count = b.whatsapp_contact_count + excluded.whatsapp_contact_count,
    phone_contact_count = b.phone_contact_count + excluded.phone_contact_count,
    booking_start_count = b.booking_start_count + excluded.booking_start_count,
    total_dwell_time_ms = b.total_dwell_time_ms + excluded.total_dwell_time_ms,
    dwell_count = b.dwell_count + excluded.dwell_count

-- name: fold_sessions
-- The same for sessions, with when and by which event each word of theirs was said first: rows that stay, and that come,
-- may say something else, before or after.
INSERT INTO base_sessions AS b
SELECT
    session_id, site_id,
    (array_agg(user_id ORDER BY occurred_at, event_id) FILTER (WHERE user_id IS NOT NULL))[1],
    (array_agg(anonymous_id ORDER BY occurred_at, event_id) FILTER (WHERE anonymous_id IS NOT NULL))[1],
    (array_agg(device_type_id ORDER BY occurred_at, event_id) FILTER (WHERE device_type_id IS NOT NULL))[1],
    (array_agg(user_agent_id ORDER BY occurred_at, event_id) FILTER (WHERE user_agent_id IS NOT NULL))[1],
    (array_agg(referrer_id ORDER BY occurred_at, event_id) FILTER (WHERE referrer_id IS NOT NULL))[1],
    (array_agg(ip_prefix ORDER BY occurred_at, event_id) FILTER (WHERE ip_prefix IS NOT NULL))[1],
    (array_agg(country ORDER BY occurred_at, event_id) FILTER (WHERE country IS NOT NULL))[1],
    (array_agg(owner_code ORDER BY occurred_at, event_id) FILTER (WHERE owner_code IS NOT NULL))[1],
    (array_agg(share_code ORDER BY occurred_at, event_id) FILTER (WHERE share_code IS NOT NULL))[1],
    (array_agg(contact_id ORDER BY occurred_at, event_id) FILTER (WHERE contact_id IS NOT NULL))[1],
    ARRAY[
        min(occurred_at) FILTER (WHERE user_id IS NOT NULL),
        min(occurred_at) FILTER (WHERE anonymous_id IS NOT NULL),
        min(occurred_at) FILTER (WHERE device_type_id IS NOT NULL),
        min(occurred_at) FILTER (WHERE user_agent_id IS NOT NULL),
        min(occurred_at) FILTER (WHERE referrer_id IS NOT NULL),
        min(occurred_at) FILTER (WHERE ip_prefix IS NOT NULL),
        min(occurred_at) FILTER (WHERE country IS NOT NULL),
        min(occurred_at) FILTER (WHERE owner_code IS NOT NULL),
        min(occurred_at) FILTER (WHERE share_code IS NOT NULL),
        min(occurred_at) FILTER (WHERE contact_id IS NOT NULL)],
    ARRAY[
        (array_agg(event_id ORDER BY occurred_at, event_id) FILTER (WHERE user_id IS NOT NULL))[1],
        (array_agg(event_id ORDER BY occurred_at, event_id) FILTER (WHERE anonymous_id IS NOT NULL))[1],
        (array_agg(event_id ORDER BY occurred_at, event_id) FILTER (WHERE device_type_id IS NOT NULL))[1],
        (array_agg(event_id ORDER BY occurred_at, event_id) FILTER (WHERE user_agent_id IS NOT NULL))[1],
        (array_agg(event_id ORDER BY occurred_at, event_id) FILTER (WHERE referrer_id IS NOT NULL))[1],
        (array_agg(event_id ORDER BY occurred_at, event_id) FILTER (WHERE ip_prefix IS NOT NULL))[1],
        (array_agg(event_id ORDER BY occurred_at, event_id) FILTER (WHERE country IS NOT NULL))[1],
        (array_agg(event_id ORDER BY occurred_at, event_id) FILTER (WHERE owner_code IS NOT NULL))[1],
        (array_agg(event_id ORDER BY occurred_at, event_id) FILTER (WHERE share_code IS NOT NULL))[1],
        (array_agg(event_id ORDER BY occurred_at, event_id) FILTER (WHERE contact_id IS NOT NULL))[1]],
    min(s.started_at), min(s.last_seen_at), min(s.page_view_count), min(s.search_count), min(s.click_count),
    min(s.save_count), min(s.contact_count), min(s.event_count)
FROM (
    SELECT site_id, session_id, occurred_at, event_id, user_id, anonymous_id, device_type_id, user_agent_id,
        referrer_id, ip_prefix, country, owner_code, share_code, contact_id
    FROM stage WHERE NOT is_bot
    UNION ALL
    SELECT w.site_id, w.session_id, w.occurred_at, w.event_id, w.user_id, w.anonymous_id, w.device_type_id,
        w.user_agent_id, w.referrer_id, w.ip_prefix, w.country, w.owner_code, w.share_code, w.contact_id
    FROM base_words AS w JOIN sessions USING (site_id, session_id)
) AS said
JOIN (SELECT session_id, site_id, started_at, last_seen_at, page_view_count, search_count, click_count, save_count,
          contact_count, event_count FROM sessions) AS s USING (site_id, session_id)
GROUP BY site_id, session_id
ORDER BY site_id, session_id
ON CONFLICT (site_id, session_id) DO UPDATE SET
    user_id = excluded.user_id, anonymous_id = excluded.anonymous_id, device_type_id = excluded.device_type_id,
    user_agent_id = excluded.user_agent_id, referrer_id = excluded.referrer_id, ip_prefix = excluded.ip_prefix,
    country = excluded.country, owner_code = excluded.owner_code, share_code = excluded.share_code,
    contact_id = excluded.contact_id, said_at = excluded.said_at, said_by = excluded.said_by,
    started_at = least(b.started_at, excluded.started_at),
    last_seen_at = greatest(b.last_seen_at, excluded.last_seen_at),
    page_view_count = b.page_view_count + excluded.page_view_count,
    search_count = b.search_count + excluded.search_count,
    click_count = b.click_count + excluded.click_count,
    save_count = b.save_count + excluded.save_count,
    contact_count = b.contact_count + excluded.contact_count,
    event_count = b.event_count + excluded.event_count

-- name: keep_requests
-- Keeps of the requests that go what events on open days are counted by.
INSERT INTO base_requests (request_id, site_id, requested_at, is_bot, results)
SELECT request_id, site_id, requested_at, is_bot, results FROM asked
WHERE request_id IN (
    SELECT e.recommendation_request_id FROM events AS e LEFT JOIN floors AS f USING (site_id)
    WHERE e.recommendation_request_id IS NOT NULL AND e.occurred_at >= coalesce(f.closed_hour, '-infinity'))
ON CONFLICT DO NOTHING

-- name: put_users
-- What rows that are gone add to users: the drain's queries go on from there.
INSERT INTO users (user_id, site_id, first_seen_at, last_seen_at, total_searches, total_clicks, total_events)
SELECT user_id, site_id, first_seen_at, last_seen_at, total_searches, total_clicks, total_events FROM base_users
WHERE %(users)s::bigint[] IS NULL OR user_id = ANY(%(users)s::bigint[])

-- name: put_sessions
-- The same for sessions.
INSERT INTO sessions (
    session_id, site_id, user_id, anonymous_id, started_at, last_seen_at, device_type_id, user_agent_id, referrer_id,
    ip_prefix, country, owner_code, share_code, contact_id, page_view_count, search_count, click_count, save_count,
    contact_count, event_count
)
SELECT session_id, site_id, user_id, anonymous_id, started_at, last_seen_at, device_type_id, user_agent_id, referrer_id,
    ip_prefix, country, owner_code, share_code, contact_id, page_view_count, search_count, click_count, save_count,
    contact_count, event_count
FROM base_sessions

-- name: put_changed_sessions
-- The same for those sessions that are being counted anew.
INSERT INTO sessions (
    session_id, site_id, user_id, anonymous_id, started_at, last_seen_at, device_type_id, user_agent_id, referrer_id,
    ip_prefix, country, owner_code, share_code, contact_id, page_view_count, search_count, click_count, save_count,
    contact_count, event_count
)
SELECT session_id, site_id, user_id, anonymous_id, started_at, last_seen_at, device_type_id, user_agent_id, referrer_id,
    ip_prefix, country, owner_code, share_code, contact_id, page_view_count, search_count, click_count, save_count,
    contact_count, event_count
FROM base_sessions WHERE (site_id, session_id) IN (SELECT site_id, session_id FROM changed)

-- name: put_trips
-- The same for trips.
INSERT INTO trip_interactions (
    site_id, trip_id, impression_count, click_count, save_count, whatsapp_contact_count, phone_contact_count,
    booking_start_count, total_dwell_time_ms, dwell_count
)
SELECT site_id, trip_id, impression_count, click_count, save_count, whatsapp_contact_count, phone_contact_count,
    booking_start_count, total_dwell_time_ms, dwell_count
FROM base_trips

-- name: count_stage
-- How many staged rows of each site there are, and a number that is the same for the same rows: an archive's name.
SELECT site_id, count(*), bit_xor(hashtextextended(event_id::text, 0)) FROM stage GROUP BY site_id ORDER BY site_id

-- name: count_asked
-- The same for requests.
SELECT site_id, count(*), bit_xor(hashtextextended(request_id::text, 0)) FROM asked GROUP BY site_id ORDER BY site_id

-- name: make_asked
-- For requests what `stage` is for events.
CREATE TEMP TABLE IF NOT EXISTS asked (LIKE recommendation_requests) ON COMMIT DELETE ROWS

-- name: take_events
-- Moves some of a site's rows to the stage, oldest first; whoever changes one is waited for. The bounds are those of one
-- month: a row's place is good for no other.
WITH gone AS (
    DELETE FROM events
    WHERE category = %(category)s::event_category AND occurred_at >= %(starts)s AND occurred_at < %(ends)s
        AND ctid = ANY(ARRAY(
            SELECT ctid FROM events
            WHERE category = %(category)s::event_category AND occurred_at >= %(starts)s AND occurred_at < %(ends)s
                AND site_id = %(site_id)s AND event_type_id = ANY(%(types)s::smallint[]) AND occurred_at < %(before)s
            ORDER BY occurred_at, event_id LIMIT %(most)s FOR UPDATE))
    RETURNING *
)
INSERT INTO stage SELECT * FROM gone

-- name: take_requests
-- The same for requests, all of a month: to see which are spoken of takes reading every open event.
WITH gone AS (
    DELETE FROM recommendation_requests
    WHERE site_id = %(site_id)s AND requested_at >= %(starts)s AND requested_at < least(%(ends)s, %(before)s)
    RETURNING *
)
INSERT INTO asked SELECT * FROM gone
