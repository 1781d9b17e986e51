-- What the mover moves: the marks, the links that follow from others, the rows, and what is counted of them.

-- name: wait_for_links
-- Gets through when every transaction that may have read older links is over.
SELECT pg_advisory_xact_lock(hashtext('tripstream.links'))

-- name: marked_sites
-- Sites with work for the mover, and when it began.
SELECT site_id, clock_timestamp() FROM (SELECT DISTINCT site_id FROM dirty_identities) AS marked ORDER BY 1

-- name: marks
-- Marks of one site in line, a bounded number of them; of those that failed, what was not tried by this run.
SELECT mark_id, kind, value FROM dirty_identities
WHERE site_id = %(site_id)s AND (failed_at IS NULL OR failed_at < %(began)s)
ORDER BY mark_id LIMIT %(most)s::int

-- name: unmark
-- The marks that were seen; not those that came meanwhile.
DELETE FROM dirty_identities WHERE site_id = %(site_id)s AND mark_id = ANY(%(marks)s::bigint[])

-- name: put_off
-- A mark that failed goes to the end of the line, with what was wrong.
WITH taken AS (
    DELETE FROM dirty_identities WHERE (site_id, mark_id) = (%(site_id)s, %(mark)s) RETURNING *
)
INSERT INTO dirty_identities (site_id, kind, value, failed_at, error)
SELECT site_id, kind, value, clock_timestamp(), %(error)s FROM taken

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
-- The user that each of these registered ids stands for, its own, and when it was first seen.
SELECT value, user_id, coalesce(own_user_id, user_id), first_at FROM identities
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
SELECT %(site_id)s, 'auth', value, CASE WHEN n.user_id = i.own_user_id THEN 'unlinked' ELSE 'joined' END, n.user_id,
    i.user_id, 'verified email'
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
INSERT INTO dirty_identities (site_id, kind, value) SELECT * FROM changed WHERE kind = 'anonymous'

-- name: shared_visitors
-- Which of these visitors were more than one registered id, or lost a link that an event made which is a bot's.
SELECT value FROM identities
WHERE site_id = %(site_id)s AND kind = 'anonymous' AND value = ANY(%(values)s) AND auth <> '' AND undone_at IS NULL
GROUP BY value HAVING count(DISTINCT auth) > 1
UNION
SELECT value FROM identity_changes
WHERE site_id = %(site_id)s AND kind = 'anonymous' AND value = ANY(%(values)s) AND action = 'reclassified'

-- name: visitor_users
-- Every user that an event of these visitors may have. LATERAL with OFFSET 0, here and below, asks the index for each:
-- joined plainly, with statistics of before, each was held against every other.
SELECT value, user_id FROM identity_users
WHERE site_id = %(site_id)s AND kind = 'anonymous' AND value = ANY(%(values)s)
UNION
SELECT i.value, u.user_id
FROM identities AS i
CROSS JOIN LATERAL (
    SELECT user_id FROM identity_users
    WHERE (identity_users.site_id, identity_users.kind, identity_users.value) = (i.site_id, 'auth', i.auth) OFFSET 0
) AS u
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
CROSS JOIN LATERAL (SELECT * FROM events WHERE events.user_id = v.user_id OFFSET 0) AS e
WHERE e.anonymous_id = v.value::uuid AND e.site_id = %(site_id)s AND e.auth_user_id IS NOT NULL AND NOT e.is_bot

-- name: make_moved
-- The events that one transaction of the mover moves; lives and is emptied like a drain's stage.
CREATE TEMP TABLE IF NOT EXISTS moved (
    old_user bigint, new_user bigint, session_id uuid, event_type_id smallint, occurred_at timestamptz
) ON COMMIT DELETE ROWS

-- name: by_index
-- For this transaction: a user's events are found by the index on it, whatever statistics say.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true)

-- name: make_spans
-- Whose the marked visitors' events are, by time, with an index; lives like `moved`.
CREATE TEMP TABLE IF NOT EXISTS spans (
    value uuid, starts timestamptz, user_id bigint, PRIMARY KEY (value, starts)
) ON COMMIT DELETE ROWS

-- name: fill_spans
-- Of two links of one moment only the later name's has a span.
INSERT INTO spans
SELECT value::uuid, starts, user_id FROM identity_spans
WHERE site_id = %(site_id)s AND value = ANY(%(values)s) AND starts < ends

-- name: move_visitors
-- Events of these visitors that came without a token get the user that the links say. Each of their users' events is
-- read once, whatever the number of spans. An event's place is good for one statement; its time spares the other months.
WITH found AS MATERIALIZED (
    SELECT e.category, e.occurred_at, e.part, e.place, v.old_user, s.user_id
    FROM unnest(%(values)s::text[], %(users)s::bigint[]) AS v (value, old_user)
    CROSS JOIN LATERAL (
        SELECT *, tableoid AS part, ctid AS place FROM events WHERE events.user_id = v.old_user OFFSET 0
    ) AS e
    CROSS JOIN LATERAL (
        SELECT user_id FROM spans
        WHERE spans.value = e.anonymous_id AND spans.starts <= e.occurred_at ORDER BY spans.starts DESC LIMIT 1
    ) AS s
    WHERE e.anonymous_id = v.value::uuid AND e.site_id = %(site_id)s AND e.auth_user_id IS NULL AND NOT e.is_bot
      AND s.user_id <> v.old_user
    LIMIT %(most)s::int
), m AS (
    UPDATE events AS e SET user_id = f.user_id
    FROM found AS f
    WHERE (e.category, e.occurred_at) = (f.category, f.occurred_at) AND e.ctid = f.place AND e.tableoid = f.part
    RETURNING f.old_user, f.user_id, e.session_id, e.event_type_id, e.occurred_at
)
INSERT INTO moved SELECT * FROM m

-- name: move_ids
-- Events that came with a token of these registered ids get the ids' users, in the same way.
WITH found AS MATERIALIZED (
    SELECT e.category, e.occurred_at, e.part, e.place, v.old_user, a.user_id
    FROM unnest(%(values)s::text[], %(users)s::bigint[]) AS v (value, old_user)
    JOIN identities AS a ON (a.site_id, a.kind, a.value) = (%(site_id)s, 'auth', v.value)
    CROSS JOIN LATERAL (
        SELECT *, tableoid AS part, ctid AS place FROM events WHERE events.user_id = v.old_user OFFSET 0
    ) AS e
    WHERE e.auth_user_id = v.value AND e.site_id = %(site_id)s AND a.user_id <> v.old_user AND NOT e.is_bot
    LIMIT %(most)s::int
), m AS (
    UPDATE events AS e SET user_id = f.user_id
    FROM found AS f
    WHERE (e.category, e.occurred_at) = (f.category, f.occurred_at) AND e.ctid = f.place AND e.tableoid = f.part
    RETURNING f.old_user, f.user_id, e.session_id, e.event_type_id, e.occurred_at
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
-- Users who lost their first or last event were first or last seen at another time. Events that are gone stay whose they
-- were.
UPDATE users AS u SET (first_seen_at, last_seen_at) = (
    SELECT min(first), max(last)
    FROM (
        SELECT min(occurred_at), max(occurred_at) FROM events AS e WHERE e.user_id = u.user_id AND NOT is_bot
        UNION ALL
        SELECT first_seen_at, last_seen_at FROM base_users AS b WHERE b.user_id = u.user_id
    ) AS seen (first, last))
FROM (SELECT old_user, min(occurred_at) AS first, max(occurred_at) AS last FROM moved GROUP BY 1) AS m
WHERE u.user_id = m.old_user AND (m.first <= u.first_seen_at OR m.last >= u.last_seen_at)

-- name: lock_sessions
-- In the order of the drains.
SELECT FROM sessions WHERE site_id = %(site_id)s AND session_id IN (SELECT session_id FROM moved)
ORDER BY site_id, session_id FOR UPDATE

-- name: restate_sessions
-- A session has the user of its earliest event.
UPDATE sessions AS s SET user_id = (
    SELECT user_id
    FROM (
        SELECT occurred_at, event_id, user_id FROM events AS e
        WHERE e.site_id = s.site_id AND e.session_id = s.session_id AND NOT is_bot
        UNION ALL
        SELECT occurred_at, event_id, user_id FROM base_words AS w
        WHERE w.site_id = s.site_id AND w.session_id = s.session_id
    ) AS said
    WHERE user_id IS NOT NULL ORDER BY occurred_at, event_id LIMIT 1)
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
