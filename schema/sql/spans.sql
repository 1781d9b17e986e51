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

-- name: span
-- All of it at once: a site's zone and day, until when figures are complete, the days that are meant, their moments, and
-- whether they still move. Without an end, days lead forwards from a start, to today, or to a start that is yet to come.
SELECT time_zone, today, first, last, starts, ends, as_of, coalesce(ends > date_trunc('hour', as_of, 'UTC'), true)
    OR EXISTS (SELECT FROM dirty_days WHERE site_id = %(site_id)s AND date BETWEEN first AND last) AS is_moving
FROM (SELECT time_zone, local_day(%(at)s::timestamptz, time_zone, until) AS today, nullif(as_of, '-infinity') AS as_of
      FROM site_zones, rolled_up
      WHERE site_id = %(site_id)s AND %(at)s::timestamptz >= starts AND %(at)s::timestamptz < ends) AS site
CROSS JOIN LATERAL (SELECT
    coalesce(%(start)s::date, coalesce(%(end)s::date, today) - %(more)s::int) AS first,
    coalesce(%(end)s::date, %(start)s::date + %(forwards)s::int, greatest(today, %(start)s::date)) AS last) AS days
CROSS JOIN LATERAL (SELECT site_day_starts(%(site_id)s, first) AS starts, site_day_starts(%(site_id)s, last + 1) AS ends
    OFFSET 0) AS moments
