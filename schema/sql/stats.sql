-- A site's views, users and paths, of one day or of all time (date null). Days that wait for their rollup, and all of
-- the paths, are read from events; other days as they were rolled up.

-- name: zone
-- The site's time zone; no row where there is no such site.
SELECT time_zone FROM sites WHERE site_id = %(site_id)s

-- name: rolled_up
-- Views and users' sketches, per day and event type, of days whose rollup tells the truth.
SELECT CASE WHEN event_type = 'page_view' THEN events ELSE 0 END AS views, visitors
FROM daily_events AS d JOIN event_types USING (event_type_id)
WHERE site_id = %(site_id)s AND date = coalesce(%(date)s::date, date)
  AND NOT EXISTS (SELECT FROM dirty_days AS w WHERE (w.site_id, w.date) = (d.site_id, d.date))

-- name: waiting
-- The same of the others, from their events; one row a day.
SELECT count(*) FILTER (WHERE event_type = 'page_view') AS views,
    array_agg(DISTINCT visitor_key(anonymous_id, claimed_user, batch_id)) AS visitors
FROM (SELECT DISTINCT date FROM dirty_days
      WHERE site_id = %(site_id)s AND date = coalesce(%(date)s::date, date)) AS day
JOIN events ON site_id = %(site_id)s AND NOT is_bot AND occurred_at >= site_day_starts(%(site_id)s, date)
    AND occurred_at < site_day_starts(%(site_id)s, date + 1)
JOIN event_types USING (event_type_id)
GROUP BY date

-- name: top_paths
-- The paths viewed most; a view without a path is none of them.
SELECT text AS path, count(*) AS views
FROM events JOIN event_types USING (event_type_id) JOIN texts ON text_id = path_id
WHERE events.site_id = %(site_id)s AND event_type = 'page_view' AND NOT is_bot
  AND occurred_at >= coalesce((SELECT site_day_starts(%(site_id)s, %(date)s::date)), '-infinity')
  AND occurred_at < coalesce((SELECT site_day_starts(%(site_id)s, %(date)s::date + 1)), 'infinity')
GROUP BY 1 ORDER BY views DESC, path LIMIT %(limit)s
