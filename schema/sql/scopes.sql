-- Whose rows may be read, and who owns which pages of a site.

-- name: begin
-- Sets, for this transaction only, what a reader may see and for how long; returns how old a replica is, in seconds.
SELECT set_config('role', %(role)s, true),
    set_config('app.site_id', %(site_id)s, true),
    set_config('app.auth_user_id', %(auth_user_id)s, true),
    set_config('statement_timeout', %(statement_timeout)s, true),
    set_config('TimeZone', 'UTC', true),
    set_config('max_parallel_workers_per_gather', '0', true), -- two more for a month's paths took 4 of 6 ms
    CASE WHEN pg_is_in_recovery()
         THEN coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 'infinity')::float8
         ELSE 0 END

-- name: key_right
-- Site and role of a live key.
SELECT site_id, role FROM key_right(%(key_hash)s)

-- name: living
-- Those of the keys that live and may read.
SELECT key_hash FROM unnest(%(key_hashes)s::bytea[]) AS asked (key_hash), key_right(key_hash) WHERE role <> 'write'

-- name: owned_sites
-- The sites in which a person owns pages.
SELECT site_id FROM owned_sites(%(auth_user_id)s)

-- name: add_owner
-- Gives a person the pages of one owner code; no row where it was so already.
INSERT INTO site_owners (site_id, owner_code, auth_user_id) VALUES (%(site_id)s, %(owner_code)s, %(auth_user_id)s)
ON CONFLICT DO NOTHING RETURNING site_id

-- name: remove_owner
-- Takes the pages of one owner code from a person, or of all of the site's codes where none is said.
DELETE FROM site_owners
WHERE site_id = %(site_id)s AND auth_user_id = %(auth_user_id)s AND owner_code = coalesce(%(owner_code)s, owner_code)
RETURNING owner_code

-- name: owners
-- Who owns which pages of a site.
SELECT auth_user_id AS user, owner_code, added_at AS added FROM site_owners
WHERE site_id = %(site_id)s ORDER BY 1, 2
