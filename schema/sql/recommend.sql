-- What the recommender asks of the catalogue: all of it for a snapshot, what changed since, and what is shown.

-- name: origin
-- Which database this is, and the snapshot it gives now: a file is only good for the one that it was made from.
-- One that was restored to an earlier moment has another time line, and its transactions are others.
SELECT (SELECT system_identifier FROM pg_control_system()) || '.' || (SELECT timeline_id FROM pg_control_checkpoint())
    || '.' || oid, pg_current_snapshot()::text
FROM pg_database WHERE datname = current_database()

-- name: continues
-- Whether a file that saw this much belongs to the past of this database, and not of one that was restored since.
SELECT pg_snapshot_xmax(%(saw)s::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot())

-- name: known
-- The codes there are, and each country's continent.
SELECT (SELECT json_object_agg(country, continent) FROM countries), (SELECT array_agg(continent) FROM continents),
    coalesce((SELECT array_agg(type_id) FROM trip_types), '{}'), coalesce((SELECT array_agg(tag_id) FROM tags), '{}')

-- name: all_templates
-- Every template that may be recommended, packed row by row in binary, for numpy.
SELECT string_agg(int8send(template_id) || int2send(type_id) || int2send(difficulty) || int2send(duration_days)
    || int8send(coalesce(themes, 0)), '')
FROM trip_templates AS t JOIN companies AS c USING (company_id)
LEFT JOIN (SELECT template_id, bit_or(1::int8 << tag_id) AS themes FROM trip_template_tags GROUP BY template_id) AS g
    USING (template_id)
WHERE t.is_active AND c.is_active

-- name: all_countries
-- The countries of all templates, packed.
SELECT string_agg(int8send(template_id) || textsend(country), '')
FROM (
    SELECT template_id, primary_country AS country FROM trip_templates
    UNION ALL
    SELECT template_id, country FROM trip_template_countries JOIN trip_templates USING (template_id)
    WHERE country <> primary_country
) AS found

-- name: all_occurrences
-- What may be booked, packed, also of templates that may not be recommended: numpy leaves them out sooner than a join.
-- starts_on in days since 1970, the price in cents, the status by its place in the type.
SELECT string_agg(int8send(occurrence_id) || int8send(template_id) || int4send(starts_on - date '1970-01-01')
    || int8send((price * 100)::int8)
    || int2send((CASE status WHEN 'Open' THEN 0 WHEN 'Guaranteed' THEN 1 ELSE 2 END)::int2), '')
FROM trip_occurrences
WHERE is_active AND status NOT IN ('Full', 'Cancelled') AND starts_on > %(today)s::date

-- name: trips_of
-- The same of a few templates, as they are now.
SELECT occurrence_id, template_id,
    primary_country || ARRAY(SELECT country FROM trip_template_countries AS m
        WHERE m.template_id = t.template_id AND country <> primary_country ORDER BY country),
    type_id, ARRAY(SELECT tag_id FROM trip_template_tags AS g WHERE g.template_id = t.template_id),
    difficulty, duration_days, starts_on, (price * 100)::int8, status::text
FROM trip_occurrences AS o JOIN trip_templates AS t USING (template_id) JOIN companies AS c USING (company_id)
WHERE template_id = ANY(%(template_ids)s::bigint[]) AND o.is_active AND t.is_active AND c.is_active
    AND o.status NOT IN ('Full', 'Cancelled') AND starts_on > %(today)s::date

-- name: changes
-- Templates (null: everything) that changed unseen by `saw`, and what this query saw: no change is missed or met twice.
-- Those of small transactions come first: where much changed, they are applied before what was changed in bulk.
SELECT pg_current_snapshot()::text, ARRAY(
    SELECT template_id FROM (
        SELECT template_id, count(*) OVER (PARTITION BY changed_in) AS size FROM catalogue_changes
        WHERE changed_in >= pg_snapshot_xmin(%(saw)s::pg_snapshot)
            AND NOT pg_visible_in_snapshot(changed_in, %(saw)s::pg_snapshot)) AS found
    GROUP BY template_id ORDER BY min(size), template_id)

-- name: unseen
-- How much a file that saw this much has to be corrected by: templates, whether by everything, and since when, in s.
SELECT count(DISTINCT template_id), coalesce(bool_or(template_id IS NULL), false),
    coalesce(extract(epoch FROM clock_timestamp() - min(changed_at)), 0)::float8
FROM catalogue_changes WHERE changed_in >= pg_snapshot_xmin(%(saw)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(changed_in, %(saw)s::pg_snapshot)

-- name: lock
-- Whether this connection is now the only one that builds.
SELECT pg_try_advisory_lock(hashtext('tripstream.snapshot'))

-- name: tell_file
-- Wakes the web processes, which would find the new file within a second by themselves.
SELECT pg_notify('catalogue_file', '')

-- name: forget_changes
-- Leaves what a web process may still have to apply: it looks for a newer file each second, and had an hour for it.
-- For whoever was away longer, or has an older file on another machine, one row says that anything may have changed.
WITH forgotten AS (
    DELETE FROM catalogue_changes WHERE changed_at < clock_timestamp() - interval '1 hour'
        AND pg_visible_in_snapshot(changed_in, %(saw)s::pg_snapshot)
    RETURNING changed_in)
INSERT INTO catalogue_changes (template_id, changed_in, changed_at)
SELECT NULL, changed_in, 'epoch' FROM forgotten ORDER BY changed_in DESC LIMIT 1

-- name: shown
-- What may differ a second later of these trips, as they are now; those that cannot be booked any more are missing.
SELECT o.occurrence_id, o.template_id, o.starts_on, o.ends_on, o.price, t.base_price, o.status::text,
    o.seats, o.seats_left, c.company_id, c.name, g.guide_id, g.name_en, g.name_he
FROM trip_occurrences AS o JOIN trip_templates AS t USING (template_id) JOIN companies AS c USING (company_id)
    LEFT JOIN guides AS g ON g.guide_id = o.guide_id AND g.is_active
WHERE o.occurrence_id = ANY(%(trip_ids)s::bigint[]) AND o.is_active AND t.is_active AND c.is_active
    AND o.status NOT IN ('Full', 'Cancelled') AND o.starts_on > %(today)s::date

-- name: texts
-- The rest of what is shown of these templates, which web processes keep for some seconds.
SELECT template_id, title_en, title_he, description_en, description_he, duration_days, difficulty,
    json_build_object('id', p.country, 'nameEn', p.name_en, 'nameHe', p.name_he, 'continent', p.continent)::text
        AS country,
    ARRAY(SELECT country FROM trip_template_countries AS m
        WHERE m.template_id = t.template_id AND country <> primary_country ORDER BY country) AS more_countries,
    json_build_object('id', y.type_id, 'code', y.code, 'nameEn', y.name_en, 'nameHe', y.name_he)::text AS type,
    (SELECT coalesce(json_agg(json_build_object('id', tag_id, 'code', code, 'nameEn', name_en, 'nameHe', name_he)
        ORDER BY tag_id), '[]') FROM trip_template_tags JOIN tags USING (tag_id)
        WHERE template_id = t.template_id)::text AS tags
FROM trip_templates AS t JOIN countries AS p ON p.country = t.primary_country JOIN trip_types AS y USING (type_id)
WHERE template_id = ANY(%(template_ids)s::bigint[])
