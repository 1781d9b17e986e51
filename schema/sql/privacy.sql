-- Whoever somebody is: ids, and the rows that are theirs. What an erasure changes in them is in erasing.sql.

-- name: registered_of
-- The registered ids that one of these emails, verified, belonged to or belongs to.
SELECT DISTINCT auth FROM identities
WHERE site_id = %(site_id)s AND kind = 'email' AND value = ANY(%(emails)s::text[]) AND auth <> '' AND undone_at IS NULL

-- name: users_of
-- The users that these ids stand for.
SELECT DISTINCT user_id FROM identities
WHERE site_id = %(site_id)s AND undone_at IS NULL AND (
    (kind = 'auth' AND value = ANY(%(auths)s::text[])) OR (kind = 'claimed' AND value = ANY(%(claims)s::text[])))
UNION
SELECT DISTINCT user_id FROM identity_spans
WHERE site_id = %(site_id)s AND value = ANY(%(visitors)s::text[]) AND starts < ends

-- name: ids_of
-- What else stands for these users, and for these registered ids: kind and value.
SELECT kind, value FROM identities
WHERE site_id = %(site_id)s AND undone_at IS NULL AND user_id = ANY(%(users)s::bigint[]) AND kind <> 'batch'
UNION
SELECT kind, value FROM identities
WHERE site_id = %(site_id)s AND undone_at IS NULL AND auth = ANY(%(auths)s::text[]) AND auth <> ''

-- name: users_of_visitor
-- The registered ids that a browser was, one after another.
SELECT DISTINCT user_id, auth FROM identities
WHERE site_id = %(site_id)s AND kind = 'anonymous' AND value = %(value)s AND auth <> '' AND undone_at IS NULL

-- name: shared
-- Browsers that were somebody else too: what they did then is not this person's.
SELECT DISTINCT value FROM identities
WHERE site_id = %(site_id)s AND kind = 'anonymous' AND value = ANY(%(visitors)s::text[]) AND auth <> ''
    AND auth <> ALL(%(auths)s::text[]) AND undone_at IS NULL

-- name: claimants
-- Browsers that only ever claimed to be this person, and were nobody else's: they are the person's.
SELECT c.anonymous_id::text, c.user_id
FROM (
    SELECT DISTINCT anonymous_id, user_id FROM events
    WHERE site_id = %(site_id)s AND claimed_user = ANY(%(claims)s::text[]) AND anonymous_id IS NOT NULL
        AND user_id IS NOT NULL
) AS c
WHERE NOT EXISTS (
    SELECT FROM events AS e
    WHERE e.user_id = c.user_id AND e.site_id = %(site_id)s AND (
        e.claimed_user <> ALL(%(claims)s::text[]) OR e.auth_user_id <> ALL(%(auths)s::text[])))

-- name: sessions_of
-- The person's sessions, also those whose events are gone.
SELECT session_id::text FROM sessions
WHERE site_id = %(site_id)s AND (user_id = ANY(%(users)s::bigint[]) OR anonymous_id = ANY(%(own)s::uuid[]))

-- name: export_events
-- The same in words, oldest first.
SELECT * FROM readable_events
WHERE site_id = %(site_id)s AND (
    user_id = ANY(%(users)s::bigint[]) OR claimed_user = ANY(%(claims)s::text[])
    OR auth_user_id = ANY(%(auths)s::text[]) OR (user_id IS NULL AND anonymous_id = ANY(%(own)s::uuid[])))
ORDER BY occurred_at, event_id

-- name: export_users
-- The person's counters.
SELECT * FROM users WHERE site_id = %(site_id)s AND user_id = ANY(%(users)s::bigint[]) ORDER BY user_id

-- name: export_identities
-- What is known to be the person, links that were undone too.
SELECT kind, value, auth, CASE WHEN isfinite(valid_from) THEN valid_from END AS valid_from, user_id, linked_by, linked_at,
    first_at, undone_at
FROM identities
WHERE site_id = %(site_id)s AND (
    user_id = ANY(%(users)s::bigint[]) OR (auth = ANY(%(auths)s::text[]) AND auth <> '')
    OR (kind = 'anonymous' AND value = ANY(%(own_text)s::text[])))
ORDER BY kind, value, valid_from, auth

-- name: export_changes
-- What was changed about that.
SELECT changed_at, kind, value, auth, action, valid_from, user_id, user_before, changed_by, event_id, batch_id
FROM identity_changes
WHERE site_id = %(site_id)s AND (
    user_id = ANY(%(users)s::bigint[]) OR (auth = ANY(%(auths)s::text[]) AND auth <> '')
    OR (kind = 'anonymous' AND value = ANY(%(own_text)s::text[])))
ORDER BY change_id

-- name: export_sessions
-- The person's sessions in words, oldest first.
SELECT * FROM readable_sessions
WHERE site_id = %(site_id)s AND (
    user_id = ANY(%(users)s::bigint[]) OR anonymous_id = ANY(%(own)s::uuid[]) OR session_id = ANY(%(sessions)s::uuid[]))
ORDER BY started_at, session_id

-- name: export_owned
-- Whose pages are the person's.
SELECT owner_code, added_at FROM site_owners WHERE site_id = %(site_id)s AND auth_user_id = ANY(%(auths)s::text[])
ORDER BY owner_code

-- name: export_requests
-- What the person asked recommendations for, and was shown.
SELECT r.*, a.user_agent FROM recommendation_requests AS r LEFT JOIN user_agents AS a USING (user_agent_id)
WHERE site_id = %(site_id)s AND (anonymous_id = ANY(%(own)s::uuid[]) OR session_id = ANY(%(sessions)s::uuid[]))
ORDER BY requested_at, request_id

-- name: letters
-- Dead letters of a site, to be looked through.
SELECT dead_letter_id, event_id, raw, shared, reason, received_at, state FROM dead_letters
WHERE site_id = %(site_id)s ORDER BY dead_letter_id

-- name: outbox
-- What applications emitted for a site, to be looked through.
SELECT event_id, event_type, event_category, user_id, entity_type, entity_id, event_data, metadata, created_at,
    processing_status, error_message
FROM event_outbox WHERE site_id = %(site_id)s ORDER BY created_at, event_id

-- name: request_erasure
-- Notes that somebody is to be erased. From now on it is not forgotten.
INSERT INTO erasures (erasure_id, site_id, requested_by, named_by, subject)
VALUES (%(erasure_id)s, %(site_id)s, %(by)s, %(named_by)s, jsonb_build_object('value', %(value)s::text))

-- name: receipt
-- An erasure's receipt, which names nobody.
SELECT erasure_id, site_id, requested_at, requested_by, named_by, state, erased_at, finished_at, counts, remaining, note
FROM erasures WHERE erasure_id = %(erasure_id)s AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)

-- name: due
-- Erasures that are not finished, oldest first; what was tried in vain, or waits for the queue, again after a while.
SELECT erasure_id FROM erasures
WHERE state IN ('requested', 'erased', 'incomplete')
    AND (tried_at IS NULL OR state = 'requested'
         OR tried_at < now() - CASE state WHEN 'incomplete' THEN interval '1 hour' ELSE interval '1 minute' END)
ORDER BY requested_at, erasure_id

-- name: erasure
-- One erasure as it stands.
SELECT site_id, named_by, subject, state, erased_at FROM erasures WHERE erasure_id = %(erasure_id)s

-- name: tombstones_since
-- Tombstones that a drain has not seen, with the microsecond until which they hold.
SELECT tombstone_id, site_id, salt, digest, (extract(epoch FROM until) * 1000000)::bigint FROM tombstones
WHERE tombstone_id > %(after)s ORDER BY tombstone_id

-- name: forget_tombstones
-- Takes away tombstones of which nothing can come any more: events that old are refused.
DELETE FROM tombstones WHERE until < now() - make_interval(days => %(days)s)

-- name: batches_of_letters
-- The batches that these dead letters came in.
SELECT DISTINCT batch_id FROM dead_letters WHERE dead_letter_id = ANY(%(ids)s::bigint[])
