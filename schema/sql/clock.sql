-- The clock's ticks and the chores' upkeep.

-- name: tick
-- One slot of one chore. Returns a row to whoever made it, and to nobody else.
INSERT INTO clock_ticks (chore, slot) VALUES (%(chore)s, %(slot)s) ON CONFLICT DO NOTHING RETURNING slot

-- name: last_slot
-- The newest slot of a chore.
SELECT max(slot) FROM clock_ticks WHERE chore = %(chore)s

-- name: began
-- A worker took the tick.
UPDATE clock_ticks SET started_at = clock_timestamp(), finished_at = NULL, error = NULL
WHERE chore = %(chore)s AND slot = %(slot)s

-- name: finished
-- The chore ended, well or with an error.
UPDATE clock_ticks SET finished_at = clock_timestamp(), error = %(error)s
WHERE chore = %(chore)s AND slot = %(slot)s

-- name: forget_ticks
-- Ticks of the last week are history enough.
DELETE FROM clock_ticks AS t
WHERE slot < now() - interval '7 days' AND slot < (SELECT max(slot) FROM clock_ticks WHERE chore = t.chore)

-- name: mirrored
-- One site's accepted figure as it was mirrored last.
SELECT accepted FROM accepted_mirror WHERE site_id = %(site_id)s

-- name: mirror
-- Copies one site's accepted figure; it never shrinks.
INSERT INTO accepted_mirror AS m (site_id, accepted, mirrored_at)
VALUES (%(site_id)s, %(accepted)s, clock_timestamp())
ON CONFLICT (site_id) DO UPDATE SET
    accepted = greatest(m.accepted, excluded.accepted), mirrored_at = excluded.mirrored_at

-- name: forget_event_ids
-- One bounded bite of the ledger beyond the dedupe window. Returns nothing; its row count says how many.
DELETE FROM event_ids WHERE (site_id, event_id) IN (
    SELECT site_id, event_id FROM event_ids WHERE first_seen < now() - make_interval(days => %(days)s) LIMIT 10000)

-- name: months_ahead
-- This month's and the next two months' partitions of every category.
SELECT ensure_month(category, (date_trunc('month', now(), 'UTC') + make_interval(months => ahead))::date)
FROM unnest(enum_range(NULL::event_category)) AS category, generate_series(0, 2) AS ahead

-- name: request_months_ahead
-- The same months' partitions of requests for recommendations.
SELECT ensure_request_month((date_trunc('month', now(), 'UTC') + make_interval(months => ahead))::date)
FROM generate_series(0, 2) AS ahead

-- name: missing_months
-- Of this month and the next two, the partitions of events that are not there.
SELECT name
FROM unnest(enum_range(NULL::event_category)) AS category
CROSS JOIN generate_series(0, 2) AS ahead
CROSS JOIN LATERAL (
    SELECT concat_ws('_', 'events', category,
        to_char(now() AT TIME ZONE 'UTC' + make_interval(months => ahead), 'YYYY_MM')) AS name) AS month
WHERE NOT EXISTS (SELECT FROM pg_class WHERE relname = name AND relispartition)
ORDER BY name

-- name: default_partitions
-- Partitions that take what no other does: none.
SELECT relname FROM pg_class
WHERE relispartition AND relnamespace = 'public'::regnamespace AND pg_get_expr(relpartbound, oid) = 'DEFAULT'
