-- What the demo catalogue needs besides COPY.

-- name: lock_catalogue
-- Whoever else fills the catalogue waits; readers do not.
LOCK TABLE trip_templates IN SHARE ROW EXCLUSIVE MODE

-- name: catalogue_exists
-- Whether anything of a catalogue is there.
SELECT EXISTS (SELECT FROM trip_templates) OR EXISTS (SELECT FROM companies) OR EXISTS (SELECT FROM guides)
    OR EXISTS (SELECT FROM trip_types) OR EXISTS (SELECT FROM tags)

-- name: never_filled
-- Whether no trip was ever there: ids that were given away stay so when their rows are deleted.
SELECT NOT is_called FROM trip_templates_template_id_seq

-- name: restart_ids
-- Whatever is added later gets the next id.
SELECT (SELECT setval(pg_get_serial_sequence('companies', 'company_id'), max(company_id)) FROM companies),
    (SELECT setval(pg_get_serial_sequence('guides', 'guide_id'), max(guide_id)) FROM guides),
    (SELECT setval(pg_get_serial_sequence('trip_types', 'type_id'), max(type_id)) FROM trip_types),
    (SELECT setval(pg_get_serial_sequence('tags', 'tag_id'), max(tag_id)) FROM tags),
    (SELECT setval(pg_get_serial_sequence('trip_templates', 'template_id'), max(template_id)) FROM trip_templates),
    (SELECT setval(pg_get_serial_sequence('trip_occurrences', 'occurrence_id'), max(occurrence_id))
     FROM trip_occurrences)

-- name: analyze
-- Or the planner knows nothing of the new rows until autovacuum comes: for a minute.
ANALYZE companies, guides, trip_templates, trip_template_countries, trip_template_tags, trip_occurrences
