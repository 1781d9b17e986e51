-- Sites and their keys.

-- name: registry
-- The whole registry as one JSON document; a key that ends later carries its end, in microseconds.
SELECT jsonb_build_object(
    'sites', (SELECT coalesce(jsonb_object_agg(site_id, jsonb_build_object(
        'origins', to_jsonb(origins), 'open_to', open_to, 'strict', strict, 'key_rate', key_rate,
        'key_burst', key_burst, 'address_rate', address_rate, 'address_burst', address_burst, 'signals', signals)), '{}')
        FROM sites),
    'keys', (SELECT coalesce(jsonb_object_agg(encode(key_hash, 'hex'), jsonb_build_object(
        'site_id', site_id, 'role', role, 'ends_at', (extract(epoch FROM ends_at) * 1000000)::bigint)), '{}')
        FROM site_keys WHERE coalesce(ends_at > now(), true)),
    'event_types', (SELECT coalesce(jsonb_agg(event_type ORDER BY event_type), '[]') FROM event_types
                    WHERE seeded AND event_type <> 'unregistered'),  -- what lenient sites invented, strict ones do not know
    'sources', (SELECT coalesce(jsonb_agg(source ORDER BY source), '[]') FROM event_sources))

-- name: add_site
-- One new site; a time zone that Postgres does not know is refused here and not in the first rollup.
INSERT INTO sites (site_id, name, time_zone, origins, open_to, strict, signals, raw_days, key_rate, key_burst,
    address_rate, address_burst)
SELECT %(site_id)s, %(name)s, %(time_zone)s, %(origins)s, %(open_to)s, %(strict)s, coalesce(%(signals)s, 'ignore'),
    %(raw_days)s, %(key_rate)s, %(key_burst)s, %(address_rate)s, %(address_burst)s
WHERE now() AT TIME ZONE %(time_zone)s IS NOT NULL

-- name: change_site
-- What is null stays; a limit of -1 is the setting's again. Of another time zone are the days to come.
UPDATE sites SET
    name = coalesce(%(name)s, name),
    time_zone = coalesce(%(time_zone)s, time_zone),
    origins = coalesce(%(origins)s, origins),
    open_to = coalesce(%(open_to)s, open_to),
    strict = coalesce(%(strict)s, strict),
    raw_days = nullif(coalesce(%(raw_days)s, raw_days), -1),
    key_rate = nullif(coalesce(%(key_rate)s, key_rate), -1),
    key_burst = nullif(coalesce(%(key_burst)s, key_burst), -1),
    address_rate = nullif(coalesce(%(address_rate)s, address_rate), -1),
    address_burst = nullif(coalesce(%(address_burst)s, address_burst), -1),
    signals = coalesce(%(signals)s, signals)
WHERE site_id = %(site_id)s AND now() AT TIME ZONE coalesce(%(time_zone)s, time_zone) IS NOT NULL
RETURNING site_id

-- name: zones
-- Whose days a site's are, and from which day on; the first from ever.
SELECT time_zone, nullif(since, '-infinity') AS since FROM site_zones WHERE site_id = %(site_id)s ORDER BY site_zones.since

-- name: lock_site
-- The site, if it is there; rotations of its keys wait for one another.
SELECT site_id FROM sites WHERE site_id = %(site_id)s FOR UPDATE

-- name: add_key
-- One more key of a site, which ends after those seconds; without them, never.
INSERT INTO site_keys (key_hash, site_id, role, hint, expires_at)
VALUES (%(key_hash)s, %(site_id)s, %(role)s, %(hint)s, now() + make_interval(secs => %(seconds)s))

-- name: end_keys
-- Every live key of the role ends after those seconds, or when it would have ended before.
UPDATE site_keys SET expires_at = least(expires_at, now() + make_interval(secs => %(seconds)s))
WHERE site_id = %(site_id)s AND role = %(role)s AND coalesce(ends_at > now(), true)

-- name: revoke_key
-- Ends one key now; one that had ended stays as it was.
UPDATE site_keys SET revoked_at = least(revoked_at, now())
WHERE site_id = %(site_id)s AND key_id = %(key_id)s
RETURNING key_id

-- name: list_sites
-- Sites with what they have been sent so far.
SELECT site_id, name, time_zone, origins, open_to, strict,
    (SELECT count(*) FROM site_keys AS k WHERE k.site_id = s.site_id AND coalesce(ends_at > now(), true)) AS keys,
    (SELECT coalesce(sum(stored), 0)::bigint FROM drained AS d WHERE d.site_id = s.site_id) AS stored
FROM sites AS s
ORDER BY site_id

-- name: show_site
-- One site's rules and limits.
SELECT site_id, name, time_zone, origins, open_to, strict, signals, raw_days,
    (SELECT floor::text FROM floors AS f WHERE f.site_id = sites.site_id) AS floor, key_rate, key_burst, address_rate,
    address_burst, created_at
FROM sites
WHERE site_id = %(site_id)s

-- name: show_keys
-- A site's keys, newest first, without what would let anybody in.
SELECT key_id AS id, role, 'ts_' || role || '_…' || coalesce(hint, '') AS key, created_at AS created, expires_at AS expires,
    revoked_at AS revoked, CASE WHEN coalesce(ends_at > now(), true) THEN 'live' ELSE 'ended' END AS state
FROM site_keys
WHERE site_id = %(site_id)s
ORDER BY key_id DESC

-- name: site_ids
-- Every site's id.
SELECT site_id FROM sites ORDER BY site_id
