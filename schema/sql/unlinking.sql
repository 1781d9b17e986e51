-- What people ask of identities, and undo.

-- name: identities_of
-- Every identity of the users that this value stands for or is the number of, links that were undone too.
WITH named AS (
    SELECT site_id, user_id FROM identities
    WHERE (value = %(value)s OR (kind = 'email' AND value = %(email)s)) AND undone_at IS NULL AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)
    UNION
    SELECT site_id, user_id FROM identities
    WHERE user_id = %(user_id)s::bigint AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)
)
SELECT i.site_id, i.user_id, kind, value, auth, CASE WHEN isfinite(valid_from) THEN valid_from END AS valid_from, linked_by, linked_at, undone_at
FROM identities AS i JOIN named USING (site_id, user_id)
UNION
SELECT site_id, user_id, kind, value, auth, CASE WHEN isfinite(valid_from) THEN valid_from END, linked_by, linked_at, undone_at
FROM identities
WHERE (value = %(value)s OR (kind = 'email' AND value = %(email)s)) AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)
ORDER BY site_id, user_id, kind, value, valid_from NULLS FIRST

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
    WHERE site_id = %(site_id)s AND undone_at IS NULL
      AND (kind, value) IN (('anonymous', %(value)s), ('email', %(email)s))
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
