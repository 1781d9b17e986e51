-- How long users have been known.

-- name: first_seen
-- When these users were first seen, as stored so far, in microseconds since 1970; who is new is not there.
-- LATERAL with OFFSET 0 asks the index for each: joined plainly, the whole table was read while statistics were old.
SELECT user_id, first_seen
FROM unnest(%(users)s::bigint[]) AS u (user_id)
CROSS JOIN LATERAL (
    SELECT (extract(epoch FROM first_seen_at) * 1000000)::bigint AS first_seen FROM users
    WHERE users.user_id = u.user_id OFFSET 0
) AS found
