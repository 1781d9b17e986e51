-- Sites and their keys.

-- name: registry
-- The whole registry as one JSON document.
SELECT jsonb_build_object(
    'sites', (SELECT coalesce(jsonb_object_agg(site_id, jsonb_build_object(
        'origins', to_jsonb(origins), 'open_to', open_to, 'strict', strict)), '{}') FROM sites),
    'keys', (SELECT coalesce(jsonb_object_agg(encode(key_hash, 'hex'), jsonb_build_object(
        'site_id', site_id, 'role', role)), '{}') FROM site_keys WHERE revoked_at IS NULL OR revoked_at > now()),
    'event_types', (SELECT coalesce(jsonb_agg(event_type ORDER BY event_type), '[]') FROM event_types
                    WHERE seeded AND event_type <> 'unregistered'),  -- what lenient sites invented, strict ones do not know
    'sources', (SELECT coalesce(jsonb_agg(source ORDER BY source), '[]') FROM event_sources))

-- name: add_site
-- One new site; a time zone that Postgres does not know is refused here and not in the first rollup.
INSERT INTO sites (site_id, name, time_zone, origins, open_to, strict)
SELECT %(site_id)s, %(name)s, %(time_zone)s, %(origins)s, %(open_to)s, %(strict)s
WHERE now() AT TIME ZONE %(time_zone)s IS NOT NULL

-- name: add_key
-- One more key of a site.
INSERT INTO site_keys (key_hash, site_id, role) VALUES (%(key_hash)s, %(site_id)s, %(role)s)

-- name: read_key
-- The site whose figures a key may read; none for a write key, or one that was revoked.
SELECT site_id FROM site_keys
WHERE key_hash = %(key_hash)s AND role = 'read' AND (revoked_at IS NULL OR revoked_at > now())

-- name: list_sites
-- Sites with what they have been sent so far.
SELECT site_id, name, time_zone, origins, open_to, strict,
    (SELECT count(*) FROM site_keys AS k WHERE k.site_id = s.site_id AND revoked_at IS NULL) AS keys,
    (SELECT coalesce(sum(stored), 0)::bigint FROM drained AS d WHERE d.site_id = s.site_id) AS stored
FROM sites AS s
ORDER BY site_id

-- name: site_ids
-- Every site's id.
SELECT site_id FROM sites ORDER BY site_id
