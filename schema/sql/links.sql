-- Who a visitor is: what drains read and link. Times are microseconds since 1970 where Python compares them.

-- name: share_links
-- A drain holds this while it reads links and until its rows are committed; the mover waits for all who hold it.
SELECT pg_advisory_xact_lock_shared(hashtext('tripstream.links'))

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

-- name: state_first
-- Lowers the times at which registered ids were first seen; whom they are by email may change with that. Locked in order.
WITH n AS (
    SELECT * FROM unnest(%(sites)s::text[], %(auths)s::text[], %(times)s::timestamptz[]) AS n (site_id, value, at)
), later AS (
    SELECT n.* FROM n JOIN identities AS i ON (i.site_id, i.kind, i.value) = (n.site_id, 'auth', n.value)
    WHERE i.first_at IS NULL OR i.first_at > n.at
    ORDER BY n.site_id, n.value FOR UPDATE OF i
), lowered AS (
    UPDATE identities AS i SET first_at = least(i.first_at, later.at)
    FROM later WHERE (i.site_id, i.kind, i.value) = (later.site_id, 'auth', later.value)
)
INSERT INTO dirty_identities (site_id, kind, value)
SELECT DISTINCT i.site_id, i.kind, i.value
FROM later JOIN identities AS i ON i.site_id = later.site_id AND i.auth = later.value
WHERE i.auth <> '' AND i.kind = 'email'

-- name: mark
-- Identities for the mover to look at.
INSERT INTO dirty_identities (site_id, kind, value)
SELECT * FROM unnest(%(sites)s::text[], %(kinds)s::text[], %(keys)s::text[])
