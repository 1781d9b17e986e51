-- Which days figures are asked of, and how fresh those are.

-- name: site
-- A site's zone, the day that it is there at some moment, and until when figures are complete (null: never rolled up).
SELECT time_zone, (%(at)s::timestamptz AT TIME ZONE time_zone)::date AS today, nullif(as_of, '-infinity') AS as_of
FROM sites, rolled_up WHERE site_id = %(site_id)s

-- name: bounds
-- A span's moments, and whether it still moves: it reaches into the hour of as_of or beyond, or waits for a rollup.
SELECT day_starts(%(start)s::date, %(time_zone)s) AS starts, day_starts(%(end)s::date + 1, %(time_zone)s) AS ends,
    coalesce(day_starts(%(end)s::date + 1, %(time_zone)s) > date_trunc('hour', %(as_of)s::timestamptz, 'UTC'), true)
    OR EXISTS (SELECT FROM dirty_days WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s) AS is_moving
