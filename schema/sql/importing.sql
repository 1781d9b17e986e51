-- Trips of a user's own; `rows` is a JSON array.

-- name: known_companies
-- What a file may call a company.
SELECT company_id, name FROM companies

-- name: known_types
-- What a file may call a type; of two of one name the older.
SELECT type_id, name_en, name_he, code FROM trip_types ORDER BY type_id DESC

-- name: known_tags
-- What a file may call a tag.
SELECT tag_id, name_en, name_he, code FROM tags ORDER BY tag_id DESC

-- name: known_guides
-- What a file may call a guide; of two of one name the older.
SELECT guide_id, name_en, name_he FROM guides ORDER BY guide_id DESC

-- name: add_companies
-- A company of this name.
INSERT INTO companies (name) VALUES (%(name)s) RETURNING company_id

-- name: add_types
-- A type of this name, in both languages until somebody says otherwise.
INSERT INTO trip_types (code, name_en, name_he)
VALUES (CASE WHEN EXISTS (SELECT FROM trip_types WHERE code = %(code)s)
        THEN left(%(code)s, 31) || '_' || substr(md5(%(name)s), 1, 8) ELSE %(code)s END, %(name)s, %(name)s)
RETURNING type_id

-- name: add_tags
-- A tag of this name under the lowest free id: ids end at 63.
INSERT INTO tags (tag_id, code, name_en, name_he)
VALUES ((SELECT min(n) FROM generate_series(1, 63) AS n WHERE n NOT IN (SELECT tag_id FROM tags)),
        CASE WHEN EXISTS (SELECT FROM tags WHERE code = %(code)s)
        THEN left(%(code)s, 31) || '_' || substr(md5(%(name)s), 1, 8) ELSE %(code)s END, %(name)s, %(name)s)
RETURNING tag_id

-- name: add_guides
-- A guide of this name, in both languages until somebody says otherwise.
INSERT INTO guides (name_en, name_he) VALUES (%(name)s, %(name)s) RETURNING guide_id

-- name: put_templates
-- Each template once by its key, as the file has it.
INSERT INTO trip_templates (external_key, company_id, title_en, title_he, description_en, description_he, type_id,
    primary_country, difficulty, base_price, duration_days)
SELECT template_key, company_id, title_en, title_he, description_en, description_he, type_id, primary_country,
    difficulty, base_price, duration_days
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (template_key text, company_id bigint, title_en text, title_he text,
    description_en text, description_he text, type_id smallint, primary_country text, difficulty smallint,
    base_price numeric, duration_days smallint)
ON CONFLICT (external_key) DO UPDATE SET company_id = excluded.company_id, title_en = excluded.title_en,
    title_he = excluded.title_he, description_en = excluded.description_en, description_he = excluded.description_he,
    type_id = excluded.type_id, primary_country = excluded.primary_country, difficulty = excluded.difficulty,
    base_price = excluded.base_price, duration_days = excluded.duration_days

-- name: drop_countries
-- More countries which the file's templates no longer have.
DELETE FROM trip_template_countries AS c
USING jsonb_to_recordset(%(rows)s::jsonb) AS r (template_key text, more_countries text[])
JOIN trip_templates AS t ON t.external_key = r.template_key
WHERE c.template_id = t.template_id AND c.country <> ALL (r.more_countries)

-- name: put_countries
-- More countries which the file's templates have.
INSERT INTO trip_template_countries (template_id, country)
SELECT t.template_id, unnest(r.more_countries)
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (template_key text, more_countries text[])
JOIN trip_templates AS t ON t.external_key = r.template_key
ON CONFLICT DO NOTHING

-- name: drop_tags
-- Tags which the file's templates no longer have.
DELETE FROM trip_template_tags AS g
USING jsonb_to_recordset(%(rows)s::jsonb) AS r (template_key text, tag_ids smallint[])
JOIN trip_templates AS t ON t.external_key = r.template_key
WHERE g.template_id = t.template_id AND g.tag_id <> ALL (r.tag_ids)

-- name: put_tags
-- Tags which the file's templates have.
INSERT INTO trip_template_tags (template_id, tag_id)
SELECT t.template_id, unnest(r.tag_ids)
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (template_key text, tag_ids smallint[])
JOIN trip_templates AS t ON t.external_key = r.template_key
ON CONFLICT DO NOTHING

-- name: put_occurrences
-- Each occurrence once by its key within its template, as the file has it.
INSERT INTO trip_occurrences (template_id, external_key, starts_on, ends_on, price, guide_id, seats, seats_left, status,
    is_active)
SELECT t.template_id, occurrence_key, r.starts_on, r.ends_on, r.price, r.guide_id, r.seats, r.seats_left,
    r.status::trip_status, r.is_active
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (template_key text, occurrence_key text, starts_on date, ends_on date,
    price numeric, guide_id bigint, seats integer, seats_left integer, status text, is_active boolean)
JOIN trip_templates AS t ON t.external_key = r.template_key
ON CONFLICT (template_id, external_key) DO UPDATE SET starts_on = excluded.starts_on, ends_on = excluded.ends_on,
    price = excluded.price, guide_id = excluded.guide_id, seats = excluded.seats, seats_left = excluded.seats_left,
    status = excluded.status, is_active = excluded.is_active
