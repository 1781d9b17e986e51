-- Who a visitor is: what drains link, what the mover moves, what people ask. Times are microseconds since 1970 where
-- Python compares them.

-- name: share_links
-- A drain holds this while it reads links and until its rows are committed; the mover waits for all who hold it.
SELECT pg_advisory_xact_lock_shared(hashtext('tripstream.links'))

-- name: wait_for_links
-- Gets through when every transaction that may have read older links is over.
SELECT pg_advisory_xact_lock(hashtext('tripstream.links'))

-- name: visitor_links
-- Every link of these visitors that is in force, earliest first; the open beginning as null. Names in byte order, as Python has it.
-- LATERAL with OFFSET 0 asks the index for each: joined plainly, the whole index was read while statistics were old.
SELECT v.*, i.user_id,
    CASE WHEN isfinite(i.valid_from) THEN (extract(epoch FROM i.valid_from) * 1000000)::bigint END AS valid_from
FROM unnest(%(sites)s::text[], %(kinds)s::text[], %(keys)s::text[]) AS v (site_id, kind, value)
CROSS JOIN LATERAL (
    SELECT user_id, valid_from, auth FROM identities
    WHERE (identities.site_id, identities.kind, identities.value) = (v.site_id, v.kind, v.value)
        AND undone_at IS NULL OFFSET 0
) AS i
ORDER BY i.valid_from, i.auth COLLATE "C"

-- name: link_visitors
-- Gives each of these visitors, who had no link, a user; whoever loses the race uses the winner's. Returns the new ones.
INSERT INTO identities (site_id, kind, value, user_id)
SELECT site_id, kind, value, nextval('users_user_id_seq')
FROM unnest(%(sites)s::text[], %(kinds)s::text[], %(keys)s::text[]) AS v (site_id, kind, value)
ORDER BY site_id, kind, value
ON CONFLICT DO NOTHING
RETURNING site_id, kind, value

-- name: known_links
-- The links of these identities to registered ids, earliest first.
SELECT v.*, i.auth, (extract(epoch FROM i.valid_from) * 1000000)::bigint AS valid_from
FROM unnest(%(sites)s::text[], %(kinds)s::text[], %(keys)s::text[]) AS v (site_id, kind, value)
CROSS JOIN LATERAL (
    SELECT auth, valid_from FROM identities
    WHERE (identities.site_id, identities.kind, identities.value) = (v.site_id, v.kind, v.value)
        AND undone_at IS NULL AND isfinite(valid_from) OFFSET 0
) AS i
ORDER BY i.valid_from, i.auth COLLATE "C"

-- name: undone_links
-- Up to when what was received says nothing any more of an identity and a registered id: the link was undone then.
SELECT v.*, auth, (extract(epoch FROM max(changed_at)) * 1000000)::bigint AS undone_at
FROM unnest(%(sites)s::text[], %(kinds)s::text[], %(keys)s::text[]) AS v (site_id, kind, value)
JOIN identity_changes AS c USING (site_id, kind, value)
WHERE action = 'unlinked'
GROUP BY v.site_id, v.kind, v.value, auth

-- name: add_links
-- Enters links with who said so; one that is there already is left as it is, one that was undone is in force again.
WITH n AS (
    SELECT * FROM unnest(
        %(sites)s::text[], %(kinds)s::text[], %(keys)s::text[], %(auths)s::text[], %(starts)s::timestamptz[],
        %(users)s::bigint[], %(befores)s::bigint[], %(event_ids)s::uuid[], %(batch_ids)s::uuid[],
        %(received)s::timestamptz[]
    ) AS n (site_id, kind, value, auth, valid_from, user_id, user_before, event_id, batch_id, received_at)
), added AS (
    INSERT INTO identities AS i (site_id, kind, value, auth, valid_from, user_id, linked_by, linked_at)
    SELECT site_id, kind, value, auth, valid_from, user_id, 'token', received_at FROM n
    ORDER BY site_id, kind, value, valid_from, auth
    ON CONFLICT (site_id, kind, value, valid_from, auth) DO UPDATE
        SET user_id = excluded.user_id, linked_at = excluded.linked_at, undone_at = NULL
        WHERE i.undone_at IS NOT NULL
    RETURNING site_id, kind, value, auth, valid_from
)
INSERT INTO identity_changes (
    site_id, kind, value, auth, action, valid_from, user_id, user_before, changed_by, event_id, batch_id
)
SELECT site_id, kind, value, auth, 'linked', valid_from, user_id, user_before, 'token', event_id, batch_id
FROM n JOIN added USING (site_id, kind, value, auth, valid_from)

-- name: mark
-- Identities for the mover to look at.
INSERT INTO dirty_identities (site_id, kind, value)
SELECT * FROM unnest(%(sites)s::text[], %(kinds)s::text[], %(keys)s::text[])

-- name: marked_sites
-- Sites with work for the mover.
SELECT DISTINCT site_id FROM dirty_identities ORDER BY 1

-- name: marks
-- Marks of one site, a bounded number of them. What identifies a mark stays its own until the mover deletes it.
SELECT ctid::text, kind, value FROM dirty_identities WHERE site_id = %(site_id)s LIMIT %(most)s::int

-- name: unmark
-- The marks that were seen; not those that came meanwhile.
DELETE FROM dirty_identities WHERE ctid = ANY(%(marks)s::tid[])

-- name: emails_joined
-- Whatever may decide whose these emails and their ids are: (id, email, since when), of all that emails connect.
WITH RECURSIVE reached (value) AS (
    SELECT unnest(%(emails)s::text[])
    UNION
    SELECT other.value FROM reached
    JOIN identities AS i ON (i.site_id, i.kind, i.value) = (%(site_id)s, 'email', reached.value)
    JOIN identities AS other ON (other.site_id, other.auth, other.kind) = (%(site_id)s, i.auth, 'email')
    WHERE i.auth <> '' AND other.auth <> '' AND other.undone_at IS NULL
)
SELECT auth, value, valid_from FROM reached JOIN identities USING (value)
WHERE site_id = %(site_id)s AND kind = 'email' AND auth <> '' AND undone_at IS NULL

-- name: ids_of_emails
-- Registered ids that ever had one of these emails: one whose link was undone is somebody of his own again.
SELECT DISTINCT auth FROM identities
WHERE site_id = %(site_id)s AND kind = 'email' AND value = ANY(%(emails)s) AND auth <> ''

-- name: users_of_ids
-- The user that each of these registered ids stands for, and its own.
SELECT value, user_id, coalesce(own_user_id, user_id) FROM identities
WHERE site_id = %(site_id)s AND kind = 'auth' AND value = ANY(%(auths)s)

-- name: join_ids
-- Registered ids stand for these users from now on; their links and rows follow when their marks are taken.
WITH n AS (
    SELECT * FROM unnest(%(auths)s::text[], %(users)s::bigint[]) AS n (value, user_id)
), changed AS (
    UPDATE identities AS i SET own_user_id = coalesce(i.own_user_id, i.user_id), user_id = n.user_id
    FROM n WHERE i.site_id = %(site_id)s AND i.kind = 'auth' AND i.value = n.value
), marked AS (
    INSERT INTO dirty_identities (site_id, kind, value) SELECT %(site_id)s, 'auth', value FROM n
)
INSERT INTO identity_changes (site_id, kind, value, action, user_id, user_before, changed_by)
SELECT %(site_id)s, 'auth', value, 'joined', n.user_id, i.user_id, 'verified email'
FROM n JOIN identities AS i USING (value) WHERE i.site_id = %(site_id)s AND i.kind = 'auth'

-- name: follow_ids
-- Links of these registered ids stand for the ids' users; the visitors among them are marked.
WITH changed AS (
    UPDATE identities AS i SET user_id = a.user_id
    FROM identities AS a
    WHERE (a.site_id, a.kind) = (%(site_id)s, 'auth') AND a.value = ANY(%(auths)s)
      AND i.site_id = %(site_id)s AND i.auth = a.value AND i.auth <> '' AND i.user_id <> a.user_id
    RETURNING i.site_id, i.kind, i.value
)
INSERT INTO dirty_identities SELECT * FROM changed WHERE kind = 'anonymous'

-- name: shared_visitors
-- Which of these visitors were more than one registered id.
SELECT value FROM identities
WHERE site_id = %(site_id)s AND kind = 'anonymous' AND value = ANY(%(values)s) AND auth <> '' AND undone_at IS NULL
GROUP BY value HAVING count(DISTINCT auth) > 1

-- name: visitor_users
-- Every user that an event of these visitors may have.
SELECT value, user_id FROM identity_users
WHERE site_id = %(site_id)s AND kind = 'anonymous' AND value = ANY(%(values)s)
UNION
SELECT i.value, u.user_id
FROM identities AS i JOIN identity_users AS u ON (u.site_id, u.kind, u.value) = (i.site_id, 'auth', i.auth)
WHERE i.site_id = %(site_id)s AND i.kind = 'anonymous' AND i.value = ANY(%(values)s) AND i.auth <> ''

-- name: id_users
-- Every user that an event of these registered ids may have.
SELECT DISTINCT value, user_id FROM identity_users
WHERE site_id = %(site_id)s AND kind = 'auth' AND value = ANY(%(values)s)

-- name: facts
-- What the stored events of these visitors, of these users, say of who they are.
SELECT v.value, (extract(epoch FROM e.occurred_at) * 1000000)::bigint, e.auth_user_id, e.event_id, e.batch_id,
    (extract(epoch FROM e.received_at) * 1000000)::bigint
FROM unnest(%(values)s::text[], %(users)s::bigint[]) AS v (value, user_id)
JOIN events AS e ON e.user_id = v.user_id AND e.anonymous_id = v.value::uuid
WHERE e.site_id = %(site_id)s AND e.auth_user_id IS NOT NULL AND NOT e.is_bot

-- name: make_moved
-- The events that one transaction of the mover moves; lives and is emptied like a drain's stage.
CREATE TEMP TABLE IF NOT EXISTS moved (
    old_user bigint, new_user bigint, session_id uuid, event_type_id smallint, occurred_at timestamptz
) ON COMMIT DELETE ROWS

-- name: by_index
-- For this transaction: a user's events are found by the index on it, whatever statistics say.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true)

-- name: move_visitors
-- Events of these visitors that came without a token get the user that the links say.
WITH m AS (
    UPDATE events AS e SET user_id = s.user_id
    FROM unnest(%(values)s::text[], %(users)s::bigint[]) AS v (value, old_user), identity_spans AS s
    WHERE s.site_id = %(site_id)s AND s.value = v.value AND s.value = ANY(%(values)s) AND s.user_id <> v.old_user
      AND e.site_id = %(site_id)s AND e.user_id = v.old_user AND e.anonymous_id = v.value::uuid
      AND e.auth_user_id IS NULL AND NOT e.is_bot AND e.occurred_at >= s.starts AND e.occurred_at < s.ends
    RETURNING v.old_user, s.user_id, e.session_id, e.event_type_id, e.occurred_at
)
INSERT INTO moved SELECT * FROM m

-- name: move_ids
-- Events that came with a token of these registered ids get the ids' users.
WITH m AS (
    UPDATE events AS e SET user_id = a.user_id
    FROM unnest(%(values)s::text[], %(users)s::bigint[]) AS v (value, old_user), identities AS a
    WHERE (a.site_id, a.kind, a.value) = (%(site_id)s, 'auth', v.value) AND a.user_id <> v.old_user
      AND e.site_id = %(site_id)s AND e.user_id = v.old_user AND e.auth_user_id = v.value AND NOT e.is_bot
    RETURNING v.old_user, a.user_id, e.session_id, e.event_type_id, e.occurred_at
)
INSERT INTO moved SELECT * FROM m

-- name: move_counters
-- Adds the moved events to their new users and takes them from the old ones.
INSERT INTO users AS u (site_id, user_id, first_seen_at, last_seen_at, total_searches, total_clicks, total_events)
SELECT %(site_id)s, user_id, coalesce(min(since), 'infinity'), coalesce(max(since), '-infinity'),
    coalesce(sum(sign) FILTER (WHERE event_type IN ('search_submit', 'search.performed')), 0),
    coalesce(sum(sign) FILTER (WHERE event_type IN ('click_trip', 'click')), 0),
    sum(sign)
FROM (
    SELECT new_user AS user_id, 1 AS sign, occurred_at AS since, event_type_id FROM moved
    UNION ALL
    SELECT old_user, -1, NULL, event_type_id FROM moved
) AS m
JOIN event_types USING (event_type_id)
GROUP BY user_id
ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET
    first_seen_at = least(u.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(u.last_seen_at, excluded.last_seen_at),
    total_searches = u.total_searches + excluded.total_searches,
    total_clicks = u.total_clicks + excluded.total_clicks,
    total_events = u.total_events + excluded.total_events

-- name: forget_users
-- Users who have no event left.
DELETE FROM users WHERE user_id IN (SELECT old_user FROM moved) AND total_events = 0

-- name: restate_users
-- Users who lost their first or last event were first or last seen at another time.
UPDATE users AS u SET (first_seen_at, last_seen_at) = (
    SELECT min(occurred_at), max(occurred_at) FROM events AS e WHERE e.user_id = u.user_id AND NOT is_bot)
FROM (SELECT old_user, min(occurred_at) AS first, max(occurred_at) AS last FROM moved GROUP BY 1) AS m
WHERE u.user_id = m.old_user AND (m.first <= u.first_seen_at OR m.last >= u.last_seen_at)

-- name: lock_sessions
-- In the order of the drains.
SELECT FROM sessions WHERE site_id = %(site_id)s AND session_id IN (SELECT session_id FROM moved)
ORDER BY site_id, session_id FOR UPDATE

-- name: restate_sessions
-- A session has the user of its earliest event.
UPDATE sessions AS s SET user_id = (
    SELECT user_id FROM events AS e
    WHERE e.site_id = s.site_id AND e.session_id = s.session_id AND NOT is_bot AND user_id IS NOT NULL
    ORDER BY occurred_at, event_id LIMIT 1)
WHERE site_id = %(site_id)s AND session_id IN (SELECT session_id FROM moved)

-- name: unlike_links
-- Events whose user is not who the links say: none, when the mover is done.
SELECT e.site_id, e.event_id, e.user_id, s.user_id
FROM events AS e JOIN identity_spans AS s ON s.site_id = e.site_id AND s.value = e.anonymous_id::text
WHERE e.auth_user_id IS NULL AND NOT e.is_bot AND e.occurred_at >= s.starts AND e.occurred_at < s.ends
  AND e.user_id IS DISTINCT FROM s.user_id
UNION ALL
SELECT e.site_id, e.event_id, e.user_id, a.user_id
FROM events AS e JOIN identities AS a ON (a.site_id, a.kind, a.value) = (e.site_id, 'auth', e.auth_user_id)
WHERE NOT e.is_bot AND e.user_id IS DISTINCT FROM a.user_id
LIMIT 10

-- name: reattribute_visitors
-- Every event without a token gets the user that the links say.
UPDATE events AS e SET user_id = s.user_id
FROM identity_spans AS s
WHERE s.site_id = e.site_id AND s.value = e.anonymous_id::text AND e.auth_user_id IS NULL AND NOT e.is_bot
  AND e.occurred_at >= s.starts AND e.occurred_at < s.ends AND e.user_id IS DISTINCT FROM s.user_id

-- name: reattribute_ids
-- Every event with a token gets its registered id's user.
UPDATE events AS e SET user_id = a.user_id
FROM identities AS a
WHERE (a.site_id, a.kind, a.value) = (e.site_id, 'auth', e.auth_user_id) AND NOT e.is_bot
  AND e.user_id IS DISTINCT FROM a.user_id

-- name: identities_of
-- Every identity of the users that this value stands for or is the number of, links that were undone too.
WITH named AS (
    SELECT site_id, user_id FROM identities
    WHERE value = %(value)s AND kind IN ('anonymous', 'auth', 'email', 'claimed', 'batch')
      AND undone_at IS NULL AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)
    UNION
    SELECT site_id, user_id FROM identities
    WHERE user_id = %(user_id)s::bigint AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)
)
SELECT i.site_id, i.user_id, kind, value, auth, valid_from, linked_by, linked_at, undone_at
FROM identities AS i JOIN named USING (site_id, user_id)
UNION
SELECT site_id, user_id, kind, value, auth, valid_from, linked_by, linked_at, undone_at
FROM identities
WHERE value = %(value)s AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)
ORDER BY site_id, user_id, kind, value, valid_from

-- name: changes_of
-- What was changed about these identities, oldest first.
SELECT changed_at, site_id, kind, value, auth, action, valid_from, user_id, user_before, changed_by, event_id, batch_id
FROM identity_changes
JOIN (SELECT DISTINCT * FROM unnest(%(sites)s::text[], %(kinds)s::text[], %(keys)s::text[]) AS n (site_id, kind, value)) AS n
    USING (site_id, kind, value)
ORDER BY change_id

-- name: users_shown
-- Users with their counters.
SELECT * FROM users WHERE user_id = ANY(%(users)s) ORDER BY user_id

-- name: undo
-- Undoes links in force, keeps who did it, and marks what has to move back. Counts one for each.
WITH undone AS (
    UPDATE identities SET undone_at = clock_timestamp()
    WHERE site_id = %(site_id)s AND kind IN ('anonymous', 'email') AND value = %(value)s AND undone_at IS NULL
      AND isfinite(valid_from) AND auth = coalesce(%(auth)s::text, auth)
    RETURNING *
), marked AS (
    INSERT INTO dirty_identities (site_id, kind, value) SELECT DISTINCT site_id, kind, value FROM undone
)
INSERT INTO identity_changes (site_id, kind, value, auth, action, valid_from, user_id, user_before, changed_by)
SELECT u.site_id, u.kind, u.value, u.auth, 'unlinked', u.valid_from, coalesce(own.user_id, u.user_id), u.user_id, %(by)s
FROM undone AS u
LEFT JOIN identities AS own
    ON (own.site_id, own.kind, own.value) = (u.site_id, u.kind, u.value) AND own.valid_from = '-infinity'
