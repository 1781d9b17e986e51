-- What an erasure changes in days that no rollup computes again.

-- name: anonymise_walks
-- The sessions that they keep for funnels go by the other ids, too.
WITH renamed AS MATERIALIZED (
    SELECT uuid_send(s.id::uuid) AS old, uuid_send(pseudonym(%(secret)s, 'session', s.id)) AS new
    FROM unnest(%(sessions)s::text[]) AS s (id)
)
UPDATE daily_walks AS d SET session_ids = (
    SELECT string_agg(coalesce(new, id), ''::bytea ORDER BY place)
    FROM (SELECT place, substr(d.session_ids, 16 * place + 1, 16) AS id
          FROM generate_series(0, d.sessions - 1) AS place) AS one
    LEFT JOIN renamed ON old = id)
WHERE site_id = %(site_id)s AND date < (SELECT closed FROM floors WHERE site_id = %(site_id)s)
    AND EXISTS (SELECT FROM renamed WHERE position(old IN d.session_ids) > 0)
