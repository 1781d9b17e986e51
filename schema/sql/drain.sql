-- What a drain writes, in the order it writes it. `stage` is a temporary table shaped like events; rebuild and
-- verify put a view of the same name over events, so that counters have one definition.

-- name: make_stage
-- Lives as long as the connection; emptied by every commit and rollback.
CREATE TEMP TABLE IF NOT EXISTS stage (LIKE events) ON COMMIT DELETE ROWS

-- name: new_batches
-- Returns the batches that were not drained before; a second drain of the same batch waits here and gets none.
INSERT INTO batches (batch_id, site_id, received_at, accepted, stored)
SELECT batch_id, (%(names)s::text[])[site], received_at, accepted, accepted
FROM unnest(%(batch_ids)s::uuid[], %(sites)s::int[], %(received)s::timestamptz[], %(accepted)s::int[])
    AS b (batch_id, site, received_at, accepted)
ORDER BY batch_id
ON CONFLICT DO NOTHING
RETURNING batch_id

-- name: stage_types
-- The types of stage's columns, which the drain writes in binary.
SELECT attname, typname FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
WHERE attrelid = 'pg_temp.stage'::regclass AND attnum > 0 AND NOT attisdropped

-- name: make_incoming
-- The ids that a transaction asks the ledger about; lives and is emptied like stage.
CREATE TEMP TABLE IF NOT EXISTS incoming (site_id text, event_id uuid) ON COMMIT DELETE ROWS

-- name: known_events
-- The dedupe ledger. Enters the incoming ids, and returns those that it had already.
WITH fresh AS (
    INSERT INTO event_ids (site_id, event_id, first_seen)
    SELECT site_id, event_id, now() FROM incoming ORDER BY event_id, site_id
    ON CONFLICT DO NOTHING
    RETURNING site_id, event_id
)
SELECT site_id, event_id FROM incoming
WHERE (SELECT count(*) FROM fresh) < (SELECT count(*) FROM incoming)  -- nearly always all are new: spares the EXCEPT
EXCEPT SELECT site_id, event_id FROM fresh

-- name: visitor_sessions
-- Sessions that an event of these visitors, in this span of time, may belong to, and their own that it may stretch.
SELECT site_id, anonymous_id, session_id,
    (extract(epoch FROM started_at) * 1000000)::bigint AS started_at,
    (extract(epoch FROM last_seen_at) * 1000000)::bigint AS last_seen_at
FROM unnest(%(sites)s::text[], %(visitors)s::uuid[]) AS v (site_id, anonymous_id)
JOIN sessions USING (site_id, anonymous_id)
WHERE (last_seen_at >= %(since)s AND started_at <= %(until)s) OR session_id = ANY(%(own)s)
ORDER BY site_id, anonymous_id, started_at, session_id

-- name: claimed_sessions
-- The same for visitors without an anonymous id, who are known by the user that they claim to be.
SELECT user_id, session_id,
    (extract(epoch FROM started_at) * 1000000)::bigint AS started_at,
    (extract(epoch FROM last_seen_at) * 1000000)::bigint AS last_seen_at
FROM sessions
WHERE user_id = ANY(%(users)s) AND anonymous_id IS NULL
  AND ((last_seen_at >= %(since)s AND started_at <= %(until)s) OR session_id = ANY(%(own)s))
ORDER BY user_id, started_at, session_id

-- name: store_sessions
-- Adds the staged events to their sessions. What describes a session is, field by field, the word of its earliest event
-- that says it. Where staged and stored events overlap in time and say different things, the row alone cannot tell
-- which was first: it is marked, and describe_sessions looks the events up.
INSERT INTO sessions AS s (
    site_id, session_id, user_id, anonymous_id, started_at, last_seen_at, device_type_id, user_agent_id, referrer_id,
    ip_prefix, country, owner_code, share_code, contact_id, page_view_count, search_count, click_count,
    save_count, contact_count, event_count
)
SELECT
    site_id, session_id,
    (array_agg(user_id ORDER BY occurred_at, event_id) FILTER (WHERE user_id IS NOT NULL))[1],
    (array_agg(anonymous_id ORDER BY occurred_at, event_id) FILTER (WHERE anonymous_id IS NOT NULL))[1],
    min(occurred_at), max(occurred_at),
    (array_agg(device_type_id ORDER BY occurred_at, event_id) FILTER (WHERE device_type_id IS NOT NULL))[1],
    (array_agg(user_agent_id ORDER BY occurred_at, event_id) FILTER (WHERE user_agent_id IS NOT NULL))[1],
    (array_agg(referrer_id ORDER BY occurred_at, event_id) FILTER (WHERE referrer_id IS NOT NULL))[1],
    (array_agg(ip_prefix ORDER BY occurred_at, event_id) FILTER (WHERE ip_prefix IS NOT NULL))[1],
    (array_agg(country ORDER BY occurred_at, event_id) FILTER (WHERE country IS NOT NULL))[1],
    (array_agg(owner_code ORDER BY occurred_at, event_id) FILTER (WHERE owner_code IS NOT NULL))[1],
    (array_agg(share_code ORDER BY occurred_at, event_id) FILTER (WHERE share_code IS NOT NULL))[1],
    (array_agg(contact_id ORDER BY occurred_at, event_id) FILTER (WHERE contact_id IS NOT NULL))[1],
    count(*) FILTER (WHERE event_type = 'page_view'),
    count(*) FILTER (WHERE event_type IN ('search_submit', 'search.performed')),
    count(*) FILTER (WHERE event_type IN ('click_trip', 'click')),
    count(*) FILTER (WHERE event_type = 'save_trip'),
    count(*) FILTER (WHERE event_type IN ('contact_whatsapp', 'contact_phone')),
    count(*)
FROM stage
JOIN event_types USING (event_type_id)
WHERE NOT is_bot
GROUP BY site_id, session_id
ORDER BY site_id, session_id
ON CONFLICT (site_id, session_id) DO UPDATE SET
    started_at = least(s.started_at, excluded.started_at),
    last_seen_at = greatest(s.last_seen_at, excluded.last_seen_at),
    (user_id, anonymous_id, device_type_id, user_agent_id, referrer_id, ip_prefix, country, owner_code, share_code,
     contact_id) = (
        SELECT coalesce(a.user_id, b.user_id), coalesce(a.anonymous_id, b.anonymous_id),
            coalesce(a.device_type_id, b.device_type_id), coalesce(a.user_agent_id, b.user_agent_id),
            coalesce(a.referrer_id, b.referrer_id), coalesce(a.ip_prefix, b.ip_prefix), coalesce(a.country, b.country),
            coalesce(a.owner_code, b.owner_code), coalesce(a.share_code, b.share_code),
            coalesce(a.contact_id, b.contact_id)
        FROM (SELECT (CASE WHEN excluded.started_at < s.started_at THEN excluded ELSE s END).*) AS a,
             (SELECT (CASE WHEN excluded.started_at < s.started_at THEN s ELSE excluded END).*) AS b),
    page_view_count = s.page_view_count + excluded.page_view_count,
    search_count = s.search_count + excluded.search_count,
    click_count = s.click_count + excluded.click_count,
    save_count = s.save_count + excluded.save_count,
    contact_count = s.contact_count + excluded.contact_count,
    event_count = s.event_count + excluded.event_count,
    mixed = s.started_at <= excluded.last_seen_at AND excluded.started_at <= s.last_seen_at AND (
        s.user_id <> excluded.user_id OR s.anonymous_id <> excluded.anonymous_id
        OR s.device_type_id <> excluded.device_type_id
        OR s.user_agent_id <> excluded.user_agent_id OR s.referrer_id <> excluded.referrer_id
        OR s.ip_prefix <> excluded.ip_prefix OR s.country <> excluded.country OR s.owner_code <> excluded.owner_code
        OR s.share_code <> excluded.share_code OR s.contact_id <> excluded.contact_id) IS TRUE

-- name: describe_sessions
-- Describes the marked sessions from their events, those that are gone among them; what none says any more stays as it
-- was.
UPDATE sessions AS s SET
    mixed = false,
    (user_id, anonymous_id, device_type_id, user_agent_id, referrer_id, ip_prefix, country, owner_code, share_code,
     contact_id) = (
        SELECT
            coalesce((array_agg(user_id ORDER BY occurred_at, event_id) FILTER (WHERE user_id IS NOT NULL))[1], s.user_id),
            coalesce((array_agg(anonymous_id ORDER BY occurred_at, event_id) FILTER (WHERE anonymous_id IS NOT NULL))[1], s.anonymous_id),
            coalesce((array_agg(device_type_id ORDER BY occurred_at, event_id) FILTER (WHERE device_type_id IS NOT NULL))[1], s.device_type_id),
            coalesce((array_agg(user_agent_id ORDER BY occurred_at, event_id) FILTER (WHERE user_agent_id IS NOT NULL))[1], s.user_agent_id),
            coalesce((array_agg(referrer_id ORDER BY occurred_at, event_id) FILTER (WHERE referrer_id IS NOT NULL))[1], s.referrer_id),
            coalesce((array_agg(ip_prefix ORDER BY occurred_at, event_id) FILTER (WHERE ip_prefix IS NOT NULL))[1], s.ip_prefix),
            coalesce((array_agg(country ORDER BY occurred_at, event_id) FILTER (WHERE country IS NOT NULL))[1], s.country),
            coalesce((array_agg(owner_code ORDER BY occurred_at, event_id) FILTER (WHERE owner_code IS NOT NULL))[1], s.owner_code),
            coalesce((array_agg(share_code ORDER BY occurred_at, event_id) FILTER (WHERE share_code IS NOT NULL))[1], s.share_code),
            coalesce((array_agg(contact_id ORDER BY occurred_at, event_id) FILTER (WHERE contact_id IS NOT NULL))[1], s.contact_id)
        FROM (
            SELECT occurred_at, event_id, user_id, anonymous_id, device_type_id, user_agent_id, referrer_id, ip_prefix,
                country, owner_code, share_code, contact_id
            FROM events AS e WHERE e.site_id = s.site_id AND e.session_id = s.session_id AND NOT is_bot
            UNION ALL
            SELECT occurred_at, event_id, user_id, anonymous_id, device_type_id, user_agent_id, referrer_id, ip_prefix,
                country, owner_code, share_code, contact_id
            FROM base_words AS w WHERE w.site_id = s.site_id AND w.session_id = s.session_id) AS said)
WHERE mixed

-- name: store_users
-- Adds the staged events to their users.
INSERT INTO users AS u (site_id, user_id, first_seen_at, last_seen_at, total_searches, total_clicks, total_events)
SELECT site_id, user_id, min(occurred_at), max(occurred_at),
    count(*) FILTER (WHERE event_type IN ('search_submit', 'search.performed')),
    count(*) FILTER (WHERE event_type IN ('click_trip', 'click')),
    count(*)
FROM stage
JOIN event_types USING (event_type_id)
WHERE NOT is_bot AND user_id IS NOT NULL
GROUP BY site_id, user_id
ORDER BY site_id, user_id
ON CONFLICT (user_id) DO UPDATE SET
    first_seen_at = least(u.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(u.last_seen_at, excluded.last_seen_at),
    total_searches = u.total_searches + excluded.total_searches,
    total_clicks = u.total_clicks + excluded.total_clicks,
    total_events = u.total_events + excluded.total_events

-- name: store_events
-- The rows themselves, after the ledger has said that they are new. In order of time, the index on it splits no page in
-- its middle: 31 bytes an event in place of 46.
INSERT INTO events SELECT * FROM stage ORDER BY occurred_at

-- name: store_trips
-- Adds the staged events to their trips; last, because trips are the hottest rows.
INSERT INTO trip_interactions AS t (
    site_id, trip_id, impression_count, click_count, save_count, whatsapp_contact_count, phone_contact_count,
    booking_start_count, total_dwell_time_ms, dwell_count
)
SELECT site_id, trip_id,
    count(*) FILTER (WHERE event_type = 'impression'),
    count(*) FILTER (WHERE event_type IN ('click_trip', 'click')),
    count(*) FILTER (WHERE event_type = 'save_trip'),
    count(*) FILTER (WHERE event_type = 'contact_whatsapp'),
    count(*) FILTER (WHERE event_type = 'contact_phone'),
    count(*) FILTER (WHERE event_type = 'booking_start'),
    coalesce(sum(dwell_ms(metadata)) FILTER (WHERE event_type = 'trip_dwell'), 0),
    count(dwell_ms(metadata)) FILTER (WHERE event_type = 'trip_dwell')
FROM stage
JOIN event_types USING (event_type_id)
WHERE NOT is_bot AND trip_id IS NOT NULL
GROUP BY site_id, trip_id
ORDER BY site_id, trip_id
ON CONFLICT (site_id, trip_id) DO UPDATE SET
    impression_count = t.impression_count + excluded.impression_count,
    click_count = t.click_count + excluded.click_count,
    save_count = t.save_count + excluded.save_count,
    whatsapp_contact_count = t.whatsapp_contact_count + excluded.whatsapp_contact_count,
    phone_contact_count = t.phone_contact_count + excluded.phone_contact_count,
    booking_start_count = t.booking_start_count + excluded.booking_start_count,
    total_dwell_time_ms = t.total_dwell_time_ms + excluded.total_dwell_time_ms,
    dwell_count = t.dwell_count + excluded.dwell_count

-- name: mark_hours
-- Hours whose rollup no longer tells the truth.
INSERT INTO dirty_hours (site_id, hour)
SELECT DISTINCT site_id, date_trunc('hour', occurred_at, 'UTC') FROM stage

-- name: mark_days
-- Days, in each site's own time zone, whose rollups no longer tell the truth.
INSERT INTO dirty_days (site_id, date)
SELECT DISTINCT site_id, local_day(occurred_at, time_zone, until)
FROM stage JOIN site_zones USING (site_id) WHERE occurred_at >= starts AND occurred_at < ends

-- name: settle_batches
-- Corrects the receipts of batches that were not stored whole.
UPDATE batches SET stored = v.stored, duplicate = v.duplicate, dead = v.dead, discarded = v.discarded,
    verdicts = v.verdicts
FROM unnest(%(batch_ids)s::uuid[], %(stored)s::int[], %(duplicate)s::int[], %(dead)s::int[], %(discarded)s::int[],
            %(verdicts)s::jsonb[])
    AS v (batch_id, stored, duplicate, dead, discarded, verdicts)
WHERE batches.batch_id = v.batch_id

-- name: add_drained
-- What this transaction did, per site; the same figures as its receipts, summed.
INSERT INTO drained AS d (site_id, lane, batches, stored, duplicate, dead, discarded, seconds, transactions, updated_at)
SELECT site_id, %(lane)s, batches, stored, duplicate, dead, discarded, seconds, 1, clock_timestamp()
FROM unnest(%(sites)s::text[], %(batches)s::bigint[], %(stored)s::bigint[], %(duplicate)s::bigint[],
            %(dead)s::bigint[], %(discarded)s::bigint[], %(seconds)s::float8[])
    AS n (site_id, batches, stored, duplicate, dead, discarded, seconds)
ORDER BY site_id
ON CONFLICT (site_id, lane) DO UPDATE SET
    batches = d.batches + excluded.batches, stored = d.stored + excluded.stored,
    duplicate = d.duplicate + excluded.duplicate, dead = d.dead + excluded.dead,
    discarded = d.discarded + excluded.discarded,
    seconds = d.seconds + excluded.seconds, transactions = d.transactions + 1, updated_at = excluded.updated_at

-- name: bury
-- Keeps what could not be stored, with the reason.
INSERT INTO dead_letters (site_id, batch_id, event_id, place, received_at, events, raw, shared, reason, sqlstate,
    stream_id)
SELECT * FROM unnest(%(site_id)s::text[], %(batch_id)s::uuid[], %(event_id)s::uuid[], %(place)s::integer[],
    %(received_at)s::timestamptz[], %(events)s::integer[], %(raw)s::bytea[], %(shared)s::jsonb[], %(reason)s::text[], %(sqlstate)s::text[],
    %(stream_id)s::text[])

-- name: register_types
-- Unknown event types of lenient sites become known, as interactions where nobody said what they are, while there are
-- not too many.
INSERT INTO event_types (event_type, category, retention)
SELECT event_type, category, CASE category WHEN 'interaction' THEN interval '1 year'
    WHEN 'user_activity' THEN interval '2 years' ELSE interval '7 years' END
FROM unnest(%(types)s::text[], %(categories)s::event_category[]) AS n (event_type, category) ORDER BY 1 LIMIT greatest(%(most)s - (SELECT count(*) FROM event_types), 0)
ON CONFLICT DO NOTHING

-- name: types
-- The whole registry: small, and cached by each drain.
SELECT event_type, event_type_id, category::text AS category FROM event_types

-- name: register_user_agents
-- New user agents, with the verdict on each and which rules gave it.
INSERT INTO user_agents (user_agent, browser, os, device_type, is_bot, bot_reason, rules_version)
SELECT agent, browser, os, device, reason IS NOT NULL, reason, %(rules)s
FROM unnest(%(agents)s::text[], %(browsers)s::text[], %(systems)s::text[], %(devices)s::text[], %(reasons)s::text[])
    AS v (agent, browser, os, device, reason)
ON CONFLICT ((md5(user_agent)::uuid)) DO NOTHING

-- name: user_agents
-- Ids of these user agents, whether they are bots, and what they run on.
SELECT user_agent, user_agent_id, is_bot, device_type FROM user_agents
WHERE md5(user_agent)::uuid IN (SELECT md5(a)::uuid FROM unnest(%(agents)s::text[]) AS a)

-- name: register_texts
-- New texts.
INSERT INTO texts (site_id, text)
SELECT site_id, text FROM unnest(%(sites)s::text[], %(texts)s::text[]) AS n (site_id, text) ORDER BY 1, 2
ON CONFLICT (site_id, (md5(text)::uuid)) DO NOTHING

-- name: texts
-- Ids of these texts.
SELECT n.site_id, n.text, t.text_id
FROM unnest(%(sites)s::text[], %(texts)s::text[]) AS n (site_id, text)
JOIN texts AS t ON t.site_id = n.site_id AND md5(t.text)::uuid = md5(n.text)::uuid
