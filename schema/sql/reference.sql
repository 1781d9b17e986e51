-- What the reference API answers, under the names it answers with. Short lists are sorted by whoever asks.

-- name: continents
-- Every continent.
SELECT continent AS id, name_en AS "nameEn", name_he AS "nameHe" FROM continents

-- name: countries
-- Every country with its continent.
SELECT country AS id, name_en AS "nameEn", name_he AS "nameHe", continent FROM countries

-- name: guides
-- Guides who work.
SELECT guide_id AS id, name_en AS "nameEn", name_he AS "nameHe" FROM guides WHERE is_active

-- name: trip_types
-- Every kind of trip.
SELECT type_id AS id, code, name_en AS "nameEn", name_he AS "nameHe" FROM trip_types

-- name: tags
-- Every theme.
SELECT tag_id AS id, code, name_en AS "nameEn", name_he AS "nameHe" FROM tags

-- name: templates
-- One page of active templates of active companies, alphabetical, after the given title and id.
SELECT t.template_id AS id, t.title_en AS "titleEn", t.title_he AS "titleHe", t.description_en AS "descriptionEn",
    t.description_he AS "descriptionHe", t.company_id AS "companyId", c.name AS company, t.type_id AS "typeId",
    t.primary_country AS "primaryCountry",
    ARRAY(SELECT country FROM trip_template_countries AS m WHERE m.template_id = t.template_id
          ORDER BY country COLLATE "C") AS "moreCountries",
    ARRAY(SELECT tag_id FROM trip_template_tags AS g WHERE g.template_id = t.template_id ORDER BY tag_id) AS "tagIds",
    t.difficulty, t.base_price AS "basePrice", t.duration_days AS "durationDays", lower(t.title_en) AS key
FROM trip_templates AS t JOIN companies AS c USING (company_id)
WHERE t.is_active AND c.is_active
    AND (%(key)s::text IS NULL OR (lower(t.title_en) COLLATE "C", t.template_id) > (%(key)s, %(id)s::bigint))
    AND (%(type_id)s::int IS NULL OR t.type_id = %(type_id)s)
    AND (%(company_id)s::bigint IS NULL OR t.company_id = %(company_id)s)
    AND (%(difficulty)s::int IS NULL OR t.difficulty = %(difficulty)s)
    AND (%(tag_id)s::int IS NULL OR EXISTS (
        SELECT FROM trip_template_tags AS g WHERE g.template_id = t.template_id AND g.tag_id = %(tag_id)s))
    AND (%(country)s::text IS NULL OR t.primary_country = %(country)s OR EXISTS (
        SELECT FROM trip_template_countries AS m WHERE m.template_id = t.template_id AND m.country = %(country)s))
    AND (%(continent)s::text IS NULL OR EXISTS (
        SELECT FROM countries AS l WHERE l.continent = %(continent)s AND (l.country = t.primary_country OR EXISTS (
            SELECT FROM trip_template_countries AS m WHERE m.template_id = t.template_id AND m.country = l.country))))
ORDER BY lower(t.title_en) COLLATE "C", t.template_id LIMIT %(limit)s

-- name: occurrences
-- One page of active occurrences of active templates and companies, by start, after the given start and id.
SELECT o.occurrence_id AS id, o.template_id AS "templateId", t.title_en AS "titleEn", t.title_he AS "titleHe",
    o.starts_on AS "startsOn", o.ends_on AS "endsOn", o.price, o.guide_id AS "guideId", o.seats,
    o.seats_left AS "seatsLeft", o.status::text AS status, o.starts_on::text AS key
FROM trip_occurrences AS o JOIN trip_templates AS t USING (template_id) JOIN companies AS c USING (company_id)
WHERE o.is_active AND t.is_active AND c.is_active
    AND (%(key)s::date IS NULL OR (o.starts_on, o.occurrence_id) > (%(key)s, %(id)s::bigint))
    AND (%(template_id)s::bigint IS NULL OR o.template_id = %(template_id)s)
    AND (%(guide_id)s::bigint IS NULL OR o.guide_id = %(guide_id)s)
    AND (%(status)s::text[] IS NULL OR o.status::text = ANY (%(status)s))
    AND (%(starts_from)s::date IS NULL OR o.starts_on >= %(starts_from)s)
    AND (%(starts_until)s::date IS NULL OR o.starts_on <= %(starts_until)s)
    AND (%(price_min)s::numeric IS NULL OR o.price >= %(price_min)s)
    AND (%(price_max)s::numeric IS NULL OR o.price <= %(price_max)s)
    AND (%(type_id)s::int IS NULL OR t.type_id = %(type_id)s)
    AND (%(difficulty)s::int IS NULL OR t.difficulty = %(difficulty)s)
    AND (%(country)s::text IS NULL OR t.primary_country = %(country)s OR EXISTS (
        SELECT FROM trip_template_countries AS m WHERE m.template_id = t.template_id AND m.country = %(country)s))
    AND (%(continent)s::text IS NULL OR EXISTS (
        SELECT FROM countries AS l WHERE l.continent = %(continent)s AND (l.country = t.primary_country OR EXISTS (
            SELECT FROM trip_template_countries AS m WHERE m.template_id = t.template_id AND m.country = l.country))))
ORDER BY o.starts_on, o.occurrence_id LIMIT %(limit)s

-- name: departure
-- One active occurrence of an active template and company, with everything about the trip.
SELECT o.occurrence_id AS "occurrenceId", o.template_id AS "templateId", t.title_en AS "titleEn",
    t.title_he AS "titleHe", t.description_en AS "descriptionEn", t.description_he AS "descriptionHe",
    o.starts_on AS "startsOn", o.ends_on AS "endsOn", t.duration_days AS "durationDays", t.difficulty, o.price,
    t.base_price AS "basePrice", o.status::text AS status, o.seats, o.seats_left AS "seatsLeft",
    jsonb_build_object('id', l.country, 'nameEn', l.name_en, 'nameHe', l.name_he, 'continent', l.continent) AS country,
    ARRAY(SELECT country FROM trip_template_countries AS m WHERE m.template_id = t.template_id
          ORDER BY country COLLATE "C") AS "moreCountries",
    jsonb_build_object('id', y.type_id, 'code', y.code, 'nameEn', y.name_en, 'nameHe', y.name_he) AS type,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('id', tag_id, 'code', code, 'nameEn', name_en, 'nameHe', name_he)
                               ORDER BY tag_id), '[]')
     FROM trip_template_tags AS g JOIN tags USING (tag_id) WHERE g.template_id = t.template_id) AS tags,
    CASE WHEN u.guide_id IS NOT NULL
         THEN jsonb_build_object('id', u.guide_id, 'nameEn', u.name_en, 'nameHe', u.name_he) END AS guide,
    jsonb_build_object('id', c.company_id, 'name', c.name) AS company
FROM trip_occurrences AS o JOIN trip_templates AS t USING (template_id) JOIN companies AS c USING (company_id)
JOIN trip_types AS y USING (type_id) JOIN countries AS l ON l.country = t.primary_country
LEFT JOIN guides AS u ON u.guide_id = o.guide_id AND u.is_active
WHERE o.occurrence_id = %(id)s::bigint AND o.is_active AND t.is_active AND c.is_active
