-- A site's views, users and paths, of one day or of all time, as they were rolled up. Nothing here may read events.

-- name: day
-- A day as its row has it; no row where nothing happened.
SELECT total_views, unique_users FROM daily_stats WHERE site_id = %(site_id)s AND date = %(date)s

-- name: all_time
-- Views and users' sketches of every day.
SELECT total_views, visitors FROM daily_stats WHERE site_id = %(site_id)s

-- name: top_paths
-- The paths viewed most, on one day or ever (date null); a view without a path is none of them.
SELECT value AS path, sum(page_views)::bigint AS views
FROM daily_dimensions
WHERE site_id = %(site_id)s AND dimension = 'path' AND page_views > 0
  AND date BETWEEN coalesce(%(date)s::date, '-infinity') AND coalesce(%(date)s::date, 'infinity')
GROUP BY value ORDER BY views DESC, value COLLATE "C" LIMIT %(limit)s
