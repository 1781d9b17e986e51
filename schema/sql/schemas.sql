-- The schema registry: JSON Schemas by event type and version, and who did not keep to them.

-- name: schemas_digest
-- Changes whenever a schema does; beside it the sites that refuse what does not fit.
SELECT (SELECT md5(string_agg(md5(concat_ws(' ', event_type, version, json_schema)), '' ORDER BY event_type, version))
        FROM event_schemas),
    (SELECT coalesce(array_agg(site_id), '{}') FROM sites WHERE strict)

-- name: schemas
-- Every version of every type's schema, oldest first; the schema as its author wrote it.
SELECT event_type, version, json_schema::text, personal_data
FROM event_schemas ORDER BY event_type, version

-- name: event_type
-- What is known of one type.
SELECT category::text, retention::text FROM event_types WHERE event_type = %(event_type)s

-- name: register_schema_type
-- Registers the type for strict sites too; one that is there keeps its category, because its events lie under it.
INSERT INTO event_types AS t (event_type, category, retention, seeded)
VALUES (%(event_type)s, coalesce(%(category)s::event_category, 'interaction'),
        coalesce(%(retention)s::interval, '1 year'), true)
ON CONFLICT (event_type) DO UPDATE SET retention = coalesce(%(retention)s::interval, t.retention), seeded = true

-- name: add_schema
-- The type's next version; two that are added at once cannot both have it.
INSERT INTO event_schemas (event_type, version, json_schema, personal_data)
SELECT %(event_type)s, coalesce(max(version), 0) + 1, %(json_schema)s::json, %(personal_data)s::text[]
FROM event_schemas WHERE event_type = %(event_type)s
RETURNING version

-- name: list_schemas
-- Types that have a schema, with the newest version's marks and what lenient sites stored in spite of it.
SELECT t.event_type, t.category::text, t.retention::text, max(s.version) AS newest, count(*) AS versions,
    (array_agg(array_to_string(s.personal_data, ', ') ORDER BY s.version DESC))[1] AS personal_data,
    coalesce((SELECT sum(warnings) FROM schema_warnings AS w WHERE w.event_type = t.event_type), 0)::bigint AS warnings,
    max(s.created_at) AS changed
FROM event_types AS t JOIN event_schemas AS s USING (event_type)
GROUP BY t.event_type, t.category, t.retention ORDER BY t.event_type

-- name: count_warnings
-- Adds what one transaction stored although it did not fit.
INSERT INTO schema_warnings AS w (site_id, event_type, lane, warnings, last_reason, last_at)
SELECT site_id, event_type, %(lane)s, warnings, reason, clock_timestamp()
FROM unnest(%(sites)s::text[], %(types)s::text[], %(warnings)s::bigint[], %(reasons)s::text[])
    AS n (site_id, event_type, warnings, reason)
ORDER BY site_id, event_type
ON CONFLICT (site_id, event_type, lane) DO UPDATE SET
    warnings = w.warnings + excluded.warnings, last_reason = excluded.last_reason, last_at = excluded.last_at

-- name: warnings
-- What did not fit and was stored, by site and type, most first, with the last reason.
SELECT site_id, event_type, sum(warnings)::bigint AS warnings,
    (array_agg(last_reason ORDER BY last_at DESC))[1] AS last_reason, max(last_at) AS last_at
FROM schema_warnings GROUP BY site_id, event_type ORDER BY 3 DESC, 1, 2
