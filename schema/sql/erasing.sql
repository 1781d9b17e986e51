-- What an erasure changes. Everything that follows from `theirs`, the person's events as they were, in one transaction:
-- events stay, for the figures, and nobody's they become. `secret` makes the ids that they get.

-- name: make_theirs
-- The person's events as they were; gone with the transaction.
CREATE TEMP TABLE IF NOT EXISTS theirs (LIKE events) ON COMMIT DELETE ROWS

-- name: make_exchanged
-- What user agents and referrers are exchanged for; null: for nothing.
CREATE TEMP TABLE IF NOT EXISTS exchanged (kind text, old integer, new integer, PRIMARY KEY (kind, old)) ON COMMIT DELETE ROWS

-- name: fill_theirs
-- Finds the events.
INSERT INTO theirs SELECT * FROM events
WHERE site_id = %(site_id)s AND (
    user_id = ANY(%(users)s::bigint[]) OR claimed_user = ANY(%(claims)s::text[])
    OR auth_user_id = ANY(%(auths)s::text[]) OR (user_id IS NULL AND anonymous_id = ANY(%(own)s::uuid[])))

-- name: sessions_theirs
-- Their sessions, and those of the person whose events are gone.
SELECT DISTINCT session_id::text FROM theirs
UNION
SELECT session_id::text FROM sessions
WHERE site_id = %(site_id)s AND (user_id = ANY(%(users)s::bigint[]) OR anonymous_id = ANY(%(own)s::uuid[]))

-- name: users_theirs
-- A number for each of the person's users, in place of the one that was told to others.
SELECT user_id::text, nextval('users_user_id_seq')
FROM unnest(%(users)s::bigint[]) AS u (user_id)

-- name: exchange_agents
-- For a user agent another one that is the same browser, system and device; a robot's is no person's.
INSERT INTO exchanged
SELECT 'agent', a.user_agent_id, CASE WHEN a.is_bot THEN a.user_agent_id ELSE (
    SELECT min(o.user_agent_id) FROM user_agents AS o
    WHERE NOT o.is_bot AND (o.browser, o.os, o.device_type) IS NOT DISTINCT FROM (a.browser, a.os, a.device_type)
        AND o.user_agent_id <> ALL(used.ids)) END
FROM (SELECT coalesce(array_agg(DISTINCT user_agent_id), '{}') AS ids FROM (
    SELECT user_agent_id FROM theirs
    UNION ALL SELECT user_agent_id FROM sessions
        WHERE site_id = %(site_id)s AND session_id = ANY(%(sessions)s::uuid[])
    UNION ALL SELECT user_agent_id FROM base_sessions
        WHERE site_id = %(site_id)s AND session_id = ANY(%(sessions)s::uuid[])
    UNION ALL SELECT user_agent_id FROM recommendation_requests
        WHERE site_id = %(site_id)s AND (anonymous_id = ANY(%(own)s::uuid[]) OR session_id = ANY(%(sessions)s::uuid[]))
) AS each_one WHERE user_agent_id IS NOT NULL) AS used
JOIN user_agents AS a ON a.user_agent_id = ANY(used.ids)

-- name: origins
-- Whence they came, without the page: texts for it.
INSERT INTO texts (site_id, text)
SELECT DISTINCT %(site_id)s::text, substring(text FROM '^[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]+') || '/' FROM texts
WHERE text_id IN (
    SELECT referrer_id FROM theirs
    UNION SELECT referrer_id FROM sessions WHERE site_id = %(site_id)s AND session_id = ANY(%(sessions)s::uuid[])
    UNION SELECT referrer_id FROM base_sessions WHERE site_id = %(site_id)s AND session_id = ANY(%(sessions)s::uuid[]))
    AND text ~ '^[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]+'
ON CONFLICT DO NOTHING

-- name: exchange_referrers
-- For a referrer its origin.
INSERT INTO exchanged
SELECT 'referrer', t.text_id, o.text_id FROM texts AS t
LEFT JOIN texts AS o ON o.site_id = t.site_id
    AND md5(o.text)::uuid = md5(substring(t.text FROM '^[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]+') || '/')::uuid
WHERE t.text_id IN (
    SELECT referrer_id FROM theirs
    UNION SELECT referrer_id FROM sessions WHERE site_id = %(site_id)s AND session_id = ANY(%(sessions)s::uuid[])
    UNION SELECT referrer_id FROM base_sessions WHERE site_id = %(site_id)s AND session_id = ANY(%(sessions)s::uuid[]))

-- name: mark_theirs
-- Puts the events on the stage, as they were, for the drain's own marks of hours and days.
INSERT INTO stage SELECT * FROM theirs

-- name: anonymise_events
-- Ids become others, one for one, so that events, sessions and visitors count as before; what else says who it was goes.
UPDATE events AS e SET
    event_id = pseudonym(%(secret)s, 'event', t.event_id::text),
    batch_id = pseudonym(%(secret)s, 'batch', t.batch_id::text),
    session_id = pseudonym(%(secret)s, 'session', t.session_id::text),
    anonymous_id = CASE WHEN coalesce(t.anonymous_id::text, t.claimed_user) IS NOT NULL
        THEN pseudonym(%(secret)s, 'visitor', coalesce(t.anonymous_id::text, t.claimed_user)) END,
    user_id = coalesce((%(numbers)s::jsonb ->> t.user_id::text)::bigint, t.user_id),
    claimed_user = NULL, auth_user_id = NULL, user_role = NULL, ip_prefix = NULL, contact_id = NULL, page_query = NULL,
    metadata = impersonal(t.metadata),
    utm = nullif(jsonb_strip_nulls(jsonb_build_object(
        'utm_source', t.utm -> 'utm_source', 'utm_medium', t.utm -> 'utm_medium', 'utm_campaign', t.utm -> 'utm_campaign',
        'utm_term', t.utm -> 'utm_term', 'utm_content', t.utm -> 'utm_content')), '{}'),
    user_agent_id = (SELECT new FROM exchanged WHERE kind = 'agent' AND old = t.user_agent_id),
    referrer_id = (SELECT new FROM exchanged WHERE kind = 'referrer' AND old = t.referrer_id)
FROM theirs AS t
WHERE (e.site_id, e.occurred_at, e.category, e.event_id) = (t.site_id, t.occurred_at, t.category, t.event_id)

-- name: anonymise_ledger
-- The ledger knows the events by their other ids.
UPDATE event_ids AS i SET event_id = pseudonym(%(secret)s, 'event', t.event_id::text)
FROM theirs AS t WHERE (i.event_id, i.site_id) = (t.event_id, t.site_id)

-- name: anonymise_import_batches
-- The import that brought them can still be taken back, them too.
INSERT INTO import_batches (batch_id, import_id)
SELECT DISTINCT pseudonym(%(secret)s, 'batch', batch_id::text), import_id FROM import_batches JOIN theirs USING (batch_id)

-- name: anonymise_users
-- Users keep their counters under another number.
UPDATE users SET user_id = (%(numbers)s::jsonb ->> user_id::text)::bigint
WHERE site_id = %(site_id)s AND user_id = ANY(%(users)s::bigint[])

-- name: anonymise_sessions
-- Sessions too; those that have events are made anew from them after this.
UPDATE sessions AS s SET
    session_id = pseudonym(%(secret)s, 'session', session_id::text),
    anonymous_id = pseudonym(%(secret)s, 'visitor', anonymous_id::text),
    user_id = coalesce((%(numbers)s::jsonb ->> user_id::text)::bigint, user_id),
    ip_prefix = NULL, contact_id = NULL,
    user_agent_id = (SELECT new FROM exchanged WHERE kind = 'agent' AND old = s.user_agent_id),
    referrer_id = (SELECT new FROM exchanged WHERE kind = 'referrer' AND old = s.referrer_id)
WHERE site_id = %(site_id)s AND session_id = ANY(%(sessions)s::uuid[])
    AND (user_id = ANY(%(users)s::bigint[]) OR anonymous_id = ANY(%(own)s::uuid[]))

-- name: anonymise_base_users
-- What rows that are gone add to them goes by the same numbers.
UPDATE base_users SET user_id = (%(numbers)s::jsonb ->> user_id::text)::bigint
WHERE site_id = %(site_id)s AND user_id = ANY(%(users)s::bigint[])

-- name: anonymise_base_sessions
-- The same of sessions.
UPDATE base_sessions AS s SET
    session_id = pseudonym(%(secret)s, 'session', session_id::text),
    anonymous_id = pseudonym(%(secret)s, 'visitor', anonymous_id::text),
    user_id = coalesce((%(numbers)s::jsonb ->> user_id::text)::bigint, user_id),
    ip_prefix = NULL, contact_id = NULL,
    user_agent_id = (SELECT new FROM exchanged WHERE kind = 'agent' AND old = s.user_agent_id),
    referrer_id = (SELECT new FROM exchanged WHERE kind = 'referrer' AND old = s.referrer_id)
WHERE site_id = %(site_id)s AND session_id = ANY(%(sessions)s::uuid[])
    AND (user_id = ANY(%(users)s::bigint[]) OR anonymous_id = ANY(%(own)s::uuid[]))

-- name: put_base_sessions
-- Rows that are gone come first in what their sessions are made of anew.
INSERT INTO sessions (
    session_id, site_id, user_id, anonymous_id, started_at, last_seen_at, device_type_id, user_agent_id, referrer_id,
    ip_prefix, country, owner_code, share_code, contact_id, page_view_count, search_count, click_count, save_count,
    contact_count, event_count
)
SELECT session_id, site_id, user_id, anonymous_id, started_at, last_seen_at, device_type_id, user_agent_id, referrer_id,
    ip_prefix, country, owner_code, share_code, contact_id, page_view_count, search_count, click_count, save_count,
    contact_count, event_count
FROM base_sessions WHERE site_id = %(site_id)s AND session_id IN (
    SELECT session_id FROM theirs UNION SELECT pseudonym(%(secret)s, 'session', session_id::text) FROM theirs)

-- name: clear_sessions
-- The sessions that the events were in, under both ids: somebody else's events may be in them.
DELETE FROM sessions WHERE site_id = %(site_id)s AND session_id IN (
    SELECT session_id FROM theirs UNION SELECT pseudonym(%(secret)s, 'session', session_id::text) FROM theirs)

-- name: stage_sessions
-- Every event in those sessions. LATERAL with OFFSET 0 asks the index of sessions for each.
INSERT INTO stage
SELECT e.* FROM (
    SELECT session_id FROM theirs UNION SELECT pseudonym(%(secret)s, 'session', session_id::text) FROM theirs) AS s
CROSS JOIN LATERAL (SELECT * FROM events WHERE events.session_id = s.session_id OFFSET 0) AS e
WHERE e.site_id = %(site_id)s AND NOT e.is_bot

-- name: anonymise_requests
-- What they asked recommendations for. Returns the days, whose distinct sessions are others now.
UPDATE recommendation_requests AS r SET
    anonymous_id = pseudonym(%(secret)s, 'visitor', anonymous_id::text),
    session_id = pseudonym(%(secret)s, 'session', session_id::text),
    user_agent_id = (SELECT new FROM exchanged WHERE kind = 'agent' AND old = r.user_agent_id)
WHERE r.site_id = %(site_id)s
    AND (anonymous_id = ANY(%(own)s::uuid[]) OR session_id = ANY(%(sessions)s::uuid[]))
RETURNING site_day(site_id, requested_at)

-- name: mark_requests
-- Has those days rolled up again.
INSERT INTO dirty_recommendation_days (site_id, date) SELECT DISTINCT %(site_id)s::text, unnest(%(dates)s::date[])

-- name: forget_identities
-- Nothing stands for the person any more. A browser that was somebody else too keeps only what says so.
DELETE FROM identities
WHERE site_id = %(site_id)s AND (
    (kind = 'auth' AND value = ANY(%(auths)s::text[])) OR (kind = 'claimed' AND value = ANY(%(claims)s::text[]))
    OR (auth <> '' AND auth = ANY(%(auths)s::text[])) OR (kind = 'anonymous' AND value = ANY(%(own)s::text[]))
    OR (kind = 'batch' AND user_id = ANY(%(users)s::bigint[])))

-- name: forget_changes
-- The history of that goes with it.
DELETE FROM identity_changes
WHERE site_id = %(site_id)s AND (
    (kind = 'auth' AND value = ANY(%(auths)s::text[])) OR (kind = 'claimed' AND value = ANY(%(claims)s::text[]))
    OR (auth <> '' AND auth = ANY(%(auths)s::text[])) OR (kind = 'anonymous' AND value = ANY(%(own)s::text[]))
    OR user_id = ANY(%(users)s::bigint[]))

-- name: forget_before
-- Of whom browsers of others were before, the number says nothing any more.
UPDATE identity_changes SET user_before = (%(numbers)s::jsonb ->> user_before::text)::bigint
WHERE site_id = %(site_id)s AND user_before = ANY(%(users)s::bigint[])

-- name: forget_marks
-- The mover has nothing to look at there.
DELETE FROM dirty_identities
WHERE site_id = %(site_id)s AND value = ANY(%(auths)s::text[] || %(claims)s::text[] || %(emails)s::text[] || %(own)s::text[])

-- name: forget_owner
-- Whose pages were the person's: their token, if there ever is one again, opens nothing.
DELETE FROM site_owners WHERE site_id = %(site_id)s AND auth_user_id = ANY(%(auths)s::text[])

-- name: forget_letters
-- A dead letter stays counted, and says nothing; it can be neither read nor replayed.
UPDATE dead_letters SET event_id = NULL, raw = '', shared = NULL, reason = 'the person was erased', sqlstate = NULL,
    stream_id = NULL
WHERE dead_letter_id = ANY(%(ids)s::bigint[])

-- name: forget_emitted
-- What applications emitted stays, without the person; an event that was not moved yet is moved so.
UPDATE event_outbox SET user_id = NULL, entity_type = NULL, entity_id = NULL, event_data = impersonal(event_data),
    metadata = coalesce(impersonal(metadata), '{}'), error_message = CASE WHEN error_message IS NOT NULL THEN 'erased' END
WHERE event_id = ANY(%(ids)s::uuid[])

-- name: forget_verdicts
-- What receipts say of single events: which they were, and why.
UPDATE batches AS b SET verdicts = (
    SELECT jsonb_agg(CASE WHEN v ? 'reason' THEN v - 'event_id' || '{"reason": "erased"}' ELSE v - 'event_id' END)
    FROM jsonb_array_elements(b.verdicts) AS v)
WHERE site_id = %(site_id)s AND jsonb_typeof(verdicts) = 'array'
    AND (batch_id IN (SELECT batch_id FROM theirs) OR batch_id = ANY(%(batches)s::uuid[]) OR EXISTS (
        SELECT FROM jsonb_array_elements(verdicts) AS v WHERE (v ->> 'event_id')::uuid IN (SELECT event_id FROM theirs)))

-- name: unused_agents
-- User agents that nobody has any more.
DELETE FROM user_agents AS a USING exchanged AS x
WHERE x.kind = 'agent' AND a.user_agent_id = x.old AND x.new IS DISTINCT FROM x.old
    AND x.old <> ALL(ARRAY(SELECT DISTINCT user_agent_id FROM events WHERE user_agent_id IN (SELECT old FROM exchanged WHERE kind = 'agent')))
    AND NOT EXISTS (SELECT FROM sessions AS s WHERE s.user_agent_id = x.old)
    AND NOT EXISTS (SELECT FROM base_sessions AS s WHERE s.user_agent_id = x.old)
    AND NOT EXISTS (SELECT FROM recommendation_requests AS r WHERE r.user_agent_id = x.old)

-- name: unused_referrers
-- Referrers that nobody has any more, and that are no page of the site.
DELETE FROM texts AS t USING exchanged AS x
WHERE x.kind = 'referrer' AND t.text_id = x.old AND x.new IS DISTINCT FROM x.old
    AND x.old <> ALL(ARRAY(
        SELECT DISTINCT unnest(ARRAY[referrer_id, page_id, path_id, source_id, screen_id, device_type_id]) FROM events
        WHERE site_id = %(site_id)s AND ARRAY[referrer_id, page_id, path_id, source_id, screen_id, device_type_id]
            && ARRAY(SELECT old FROM exchanged WHERE kind = 'referrer')))
    AND NOT EXISTS (SELECT FROM sessions AS s WHERE s.referrer_id = x.old)
    AND NOT EXISTS (SELECT FROM base_sessions AS s WHERE s.referrer_id = x.old)

-- name: entomb
-- From now on the drain discards what happened before and is still to come.
INSERT INTO tombstones (site_id, erasure_id, salt, digest, until)
SELECT %(site_id)s, %(erasure_id)s, %(salt)s, unnest(%(digests)s::bytea[]), clock_timestamp()
ON CONFLICT DO NOTHING

-- name: erased
-- The rows are anonymous; what is queued, swept and rewritten comes next.
UPDATE erasures SET state = 'erased', erased_at = clock_timestamp(), counts = %(counts)s, subject = %(subject)s,
    tried_at = NULL
WHERE erasure_id = %(erasure_id)s

-- name: tried
-- It is not finished, for this reason, and is tried again.
UPDATE erasures SET tried_at = clock_timestamp(), note = %(note)s WHERE erasure_id = %(erasure_id)s

-- name: refused
-- It cannot be done as it was asked for, for this reason; nothing was changed.
UPDATE erasures SET state = 'refused', subject = NULL, note = %(note)s, finished_at = clock_timestamp()
WHERE erasure_id = %(erasure_id)s

-- name: concluded
-- What it came to. The person is forgotten here too where nothing remains.
UPDATE erasures SET state = %(state)s, counts = counts || %(counts)s::jsonb, remaining = %(remaining)s::jsonb, note = %(note)s,
    tried_at = clock_timestamp(), finished_at = CASE WHEN %(state)s::text = 'done' THEN clock_timestamp() END,
    subject = CASE WHEN %(state)s::text = 'done' THEN NULL ELSE subject END
WHERE erasure_id = %(erasure_id)s

-- name: tables
-- Every table that may hold a word of a person, with the columns that can be searched and whether it has a site.
SELECT relname, array_agg(attname ORDER BY attnum) FILTER (WHERE atttypid IN ('text'::regtype, 'jsonb'::regtype, 'text[]'::regtype)),
    array_agg(format_type(atttypid, NULL) ORDER BY attnum)
        FILTER (WHERE atttypid IN ('text'::regtype, 'jsonb'::regtype, 'text[]'::regtype)),
    bool_or(attname = 'site_id')
FROM pg_class AS c JOIN pg_attribute AS a ON attrelid = c.oid
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname <> ALL('{erasures,tombstones,schema_version,sites,site_keys,event_types,event_schemas,clock_ticks}'::text[])
    AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
GROUP BY relname ORDER BY relname

-- name: clear_samples
-- What Postgres sampled of tables that are empty now, and does not sample anew.
SELECT count(pg_clear_attribute_stats('public', relname, attname, inherited))
FROM unnest(%(tables)s::text[]) AS t (name)
CROSS JOIN LATERAL (
    SELECT to_regclass('public.' || name)::oid UNION SELECT relid FROM pg_partition_tree(to_regclass('public.' || name))
) AS parts (part)
JOIN pg_class AS c ON c.oid = part AND reltuples = 0
JOIN pg_attribute ON attrelid = part AND attnum > 0 AND NOT attisdropped
CROSS JOIN (VALUES (true), (false)) AS i (inherited)
