-- What there was most of in days: a row a value with its figures and the number of all values. Only from daily
-- and weekly tables.

-- name: dimension
-- Values of one dimension, from whole weeks and the days around them. Of 15,000 rows, sums of bigint took a tenth longer
-- than those of float8, which are as exact up to 2^53.
SELECT value, NULL AS category, sum(events::float8)::bigint AS events, sum(page_views::float8)::bigint AS page_views,
    sum(sessions::float8)::bigint AS sessions, NULL AS clicks, count(*) OVER () AS total
FROM (SELECT value, events, page_views, sessions FROM weekly_dimensions
      WHERE site_id = %(site_id)s AND dimension = %(by)s AND date >= %(monday)s AND date < %(past)s
      UNION ALL
      SELECT value, events, page_views, sessions FROM daily_dimensions
      WHERE site_id = %(site_id)s AND dimension = %(by)s AND date >= %(start)s AND date < %(monday)s
      UNION ALL
      SELECT value, events, page_views, sessions FROM daily_dimensions
      WHERE site_id = %(site_id)s AND dimension = %(by)s AND date >= %(past)s AND date <= %(end)s) AS part
GROUP BY value
ORDER BY %(sign)s::int * CASE %(sort)s::text WHEN 'events' THEN sum(events::float8) WHEN 'pageViews' THEN sum(page_views::float8)
    WHEN 'sessions' THEN sum(sessions::float8) END, value COLLATE "C"
LIMIT %(limit)s OFFSET %(offset)s

-- name: target
-- What was clicked, with its category.
SELECT click_target AS value, click_category AS category, NULL AS events, NULL AS page_views, NULL AS sessions,
    sum(click_count::float8)::bigint AS clicks, count(*) OVER () AS total
FROM daily_click_targets
WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s AND click_target <> ''
  AND (%(owner)s::text IS NULL OR owner_code = %(owner)s::text) AND (%(share)s::text IS NULL OR share_code = %(share)s::text)
GROUP BY click_target, click_category
ORDER BY %(sign)s::int * sum(click_count::float8), click_target COLLATE "C", click_category COLLATE "C"
LIMIT %(limit)s OFFSET %(offset)s

-- name: page
-- Types of pages by their views.
SELECT page_type AS value, NULL AS category, NULL AS events, sum(view_count::float8)::bigint AS page_views, NULL AS sessions,
    NULL AS clicks, count(*) OVER () AS total
FROM daily_page_stats
WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s AND page_type <> ''
  AND (%(owner)s::text IS NULL OR owner_code = %(owner)s::text) AND (%(share)s::text IS NULL OR share_code = %(share)s::text)
GROUP BY page_type
ORDER BY %(sign)s::int * sum(view_count::float8), page_type COLLATE "C"
LIMIT %(limit)s OFFSET %(offset)s

-- name: share
-- Share codes, of all owners or of one.
SELECT share_code AS value, NULL AS category, NULL AS events, sum(total_page_views)::bigint AS page_views,
    sum(total_sessions)::bigint AS sessions, sum(total_clicks)::bigint AS clicks, count(*) OVER () AS total
FROM daily_group_stats
WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s AND share_code <> ''
  AND (%(owner)s::text IS NULL OR owner_code = %(owner)s::text) AND (%(share)s::text IS NULL OR share_code = %(share)s::text)
GROUP BY share_code
ORDER BY %(sign)s::int * CASE %(sort)s::text WHEN 'sessions' THEN sum(total_sessions)
    WHEN 'pageViews' THEN sum(total_page_views) WHEN 'clicks' THEN sum(total_clicks) END, share_code COLLATE "C"
LIMIT %(limit)s OFFSET %(offset)s
