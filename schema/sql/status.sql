-- What operators look at.

-- name: drained
-- Totals per site and lane.
SELECT site_id, lane, batches, stored, duplicate, dead, discarded, seconds, transactions, updated_at
FROM drained ORDER BY site_id, lane

-- name: chores
-- Each chore's newest tick that a worker finished, the newest that it should have, and how long one has waited.
SELECT chore, max(slot) AS due, done,
    (array_agg(error ORDER BY slot DESC) FILTER (WHERE error IS NOT NULL
        AND slot > now() - interval '1 day'))[1] AS error,
    extract(epoch FROM now() - min(enqueued_at) FILTER (WHERE done IS NULL OR slot > done))::float8 AS waiting_seconds
FROM (SELECT *, max(slot) FILTER (WHERE finished_at IS NOT NULL AND error IS NULL) OVER (PARTITION BY chore) AS done
      FROM clock_ticks) AS ticks
GROUP BY chore, done ORDER BY chore

-- name: freshness
-- When a drain last stored something, the newest rolled-up hour, and what still waits for a rollup.
SELECT (SELECT max(updated_at) FROM drained) AS last_drained,
    (SELECT max(hour) FROM rollup_hourly) AS newest_hour,
    (SELECT count(DISTINCT (site_id, hour)) FROM dirty_hours) AS dirty_hours,
    (SELECT count(DISTINCT (site_id, date)) FROM dirty_days) AS dirty_days

-- name: figures_age
-- Since the moment as of which reports are complete; null before the first rollup.
SELECT extract(epoch FROM now() - nullif(as_of, '-infinity'))::float8 FROM rolled_up

-- name: asked
-- Requests for recommendations that were stored of the last hour, and how many had no result.
SELECT coalesce(sum(requests), 0)::bigint, coalesce(sum(empty), 0)::bigint
FROM sites, LATERAL (
    SELECT count(*) AS requests, count(*) FILTER (WHERE primary_count + relaxed_count = 0) AS empty
    FROM recommendation_requests AS r WHERE r.site_id = sites.site_id AND requested_at > now() - interval '1 hour'
) AS counted

-- name: rate
-- Events stored in the last minute and hour, by their batches' receipts.
SELECT coalesce(sum(stored) FILTER (WHERE batch_id >= %(minute)s), 0)::bigint, coalesce(sum(stored), 0)::bigint
FROM batches WHERE batch_id >= %(hour)s

-- name: dead_by_reason
-- What fails most, by event type and reason. Not read as jsonb: that refuses U+0000, of which much in here died.
SELECT coalesce(substring(convert_from(raw, 'UTF8') FROM '"event_type":"((?:[^"\\]|\\.)*)"'), 'unreadable') AS event_type,
    reason,
    sum(events)::bigint AS events
FROM dead_letters WHERE state = 'dead' AND event_id IS NOT NULL GROUP BY 1, 2
UNION ALL
SELECT 'unreadable', reason, sum(events)::bigint FROM dead_letters
WHERE state = 'dead' AND event_id IS NULL GROUP BY 2
ORDER BY 3 DESC LIMIT 20

-- name: outbox
-- What waits in the outbox, since when, and what failed for good.
SELECT count(*) FILTER (WHERE processing_status <> 'failed') AS pending,
    coalesce(extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE processing_status <> 'failed')), 0)::float8
        AS oldest_seconds,
    count(*) FILTER (WHERE processing_status = 'failed') AS failed
FROM event_outbox WHERE processing_status IN ('pending', 'processing', 'failed')

-- name: marked
-- Identities whose rows wait for the mover, and those that it could not do.
SELECT count(*), count(failed_at) FROM dirty_identities

-- name: unmoved
-- The latter, with what was wrong.
SELECT site_id, kind, value, failed_at, error FROM dirty_identities WHERE failed_at IS NOT NULL ORDER BY mark_id LIMIT 20

-- name: version
-- The schema's version, and the server's.
SELECT (SELECT version_num FROM schema_version), current_setting('server_version_num')::int
