-- Which days figures are asked of, and how fresh those are.

-- name: site
-- A site's zone, the day that it is there at some moment, and until when figures are complete (null: never rolled up).
SELECT time_zone, local_day(%(at)s::timestamptz, time_zone, until) AS today, nullif(as_of, '-infinity') AS as_of
FROM site_zones, rolled_up WHERE site_id = %(site_id)s AND %(at)s::timestamptz >= starts AND %(at)s::timestamptz < ends

-- name: bounds
-- A span's moments, and whether it still moves: it reaches into the hour of as_of or beyond, or waits for a rollup.
SELECT starts, ends, coalesce(ends > date_trunc('hour', %(as_of)s::timestamptz, 'UTC'), true)
    OR EXISTS (SELECT FROM dirty_days WHERE site_id = %(site_id)s AND date BETWEEN %(start)s AND %(end)s) AS is_moving
FROM site_day_starts(%(site_id)s, %(start)s::date) AS starts, site_day_starts(%(site_id)s, %(end)s::date + 1) AS ends
