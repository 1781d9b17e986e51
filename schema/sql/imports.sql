-- History from elsewhere: what was imported, and how it is taken back.

-- name: begin
-- A new import; the one under way where the same file was begun before.
INSERT INTO imports (site_id, source, file_name, digest, first_at, last_at, rows)
VALUES (%(site_id)s, %(source)s, %(file_name)s, %(digest)s, %(first_at)s, %(last_at)s, %(rows)s)
ON CONFLICT (site_id, digest) WHERE undone_at IS NULL DO UPDATE SET file_name = excluded.file_name
RETURNING import_id, finished_at

-- name: hold
-- Until it is let go, or the connection ends.
SELECT pg_try_advisory_lock(hashtext('tripstream.import'), %(import_id)s)

-- name: let_go
-- For whoever comes next.
SELECT pg_advisory_unlock(hashtext('tripstream.import'), %(import_id)s)

-- name: site_exists
-- No row where there is no such site.
SELECT FROM sites WHERE site_id = %(site_id)s

-- name: note_batches
-- Before they are queued: what is stored can always be taken back.
INSERT INTO import_batches (batch_id, import_id) SELECT unnest(%(batch_ids)s::uuid[]), %(import_id)s

-- name: finish
-- All of it is queued, or in place.
UPDATE imports SET finished_at = now() WHERE import_id = %(import_id)s

-- name: listed
-- Every import, with how many of its events are stored.
SELECT i.import_id, site_id, source, file_name, rows, coalesce(sum(b.stored), 0)::bigint AS stored,
    first_at::date AS first, last_at::date AS last, i.began_at, i.finished_at, i.undone_at
FROM imports AS i LEFT JOIN import_batches USING (import_id) LEFT JOIN batches AS b USING (site_id, batch_id)
GROUP BY i.import_id ORDER BY i.import_id

-- name: one
-- One that was not undone.
SELECT import_id, site_id, source, first_at, last_at, floor_before FROM imports
WHERE import_id = %(import_id)s AND undone_at IS NULL

-- name: undrained
-- How many of its batches are not drained yet. A batch that was never queued has no entry to wait for.
SELECT batch_id FROM import_batches LEFT JOIN batches USING (batch_id)
WHERE import_id = %(import_id)s AND batches.batch_id IS NULL

-- name: is_folded
-- A row where the site's floor lies above some of it.
SELECT FROM floors WHERE site_id = %(site_id)s AND floor_at > %(first_at)s

-- name: take_events
-- Its events, out of the tables, and their ids out of the ledger. Returns how many.
WITH gone AS (
    DELETE FROM events
    WHERE site_id = %(site_id)s AND occurred_at BETWEEN %(first_at)s AND %(last_at)s
        AND batch_id IN (SELECT batch_id FROM import_batches WHERE import_id = %(import_id)s)
    RETURNING site_id, event_id, occurred_at
), forgotten AS (
    DELETE FROM event_ids USING gone WHERE (event_ids.site_id, event_ids.event_id) = (gone.site_id, gone.event_id)
), hours AS (
    INSERT INTO dirty_hours SELECT DISTINCT site_id, date_trunc('hour', occurred_at, 'UTC') FROM gone
), days AS (
    INSERT INTO dirty_days SELECT DISTINCT site_id, site_day(site_id, occurred_at) FROM gone
)
SELECT count(*) FROM gone

-- name: forget_visitors
-- Who came since the import began and of whom no event is left, after counters were computed anew.
DELETE FROM identities AS i
WHERE site_id = %(site_id)s AND kind = 'anonymous' AND linked_by = 'first_seen'
    AND linked_at >= (SELECT began_at FROM imports WHERE import_id = %(import_id)s)
    AND NOT EXISTS (SELECT FROM users AS u WHERE u.user_id = i.user_id)

-- name: settle
-- Its receipts say that what was stored or dead was discarded; so do the totals, in the lane of replays. What is dead can
-- not be replayed any more.
WITH letters AS (
    DELETE FROM dead_letters WHERE batch_id IN (SELECT batch_id FROM import_batches WHERE import_id = %(import_id)s)
    RETURNING batch_id, events, state
), dead AS (
    SELECT batch_id, sum(events) AS letters FROM letters WHERE state = 'dead' GROUP BY batch_id
), ours AS (
    SELECT batch_id, site_id, stored, coalesce(letters, 0) AS dead FROM batches LEFT JOIN dead USING (batch_id)
    WHERE batch_id IN (SELECT batch_id FROM import_batches WHERE import_id = %(import_id)s)
        AND (stored > 0 OR letters > 0)
), settled AS (
    UPDATE batches AS b SET stored = 0, dead = b.dead - ours.dead, discarded = b.discarded + ours.stored + ours.dead
    FROM ours WHERE b.batch_id = ours.batch_id
)
INSERT INTO drained AS d (site_id, lane, stored, dead, discarded, updated_at)
SELECT site_id, %(lane)s, -sum(stored), -sum(dead), sum(stored + dead), now() FROM ours GROUP BY site_id
ON CONFLICT (site_id, lane) DO UPDATE SET stored = d.stored + excluded.stored, dead = d.dead + excluded.dead,
    discarded = d.discarded + excluded.discarded, updated_at = excluded.updated_at

-- name: undone
-- It may be imported again.
UPDATE imports SET undone_at = now() WHERE import_id = %(import_id)s

-- name: floor
-- When the site's first day begins that can still change, and which it is.
SELECT floor_at, floor FROM floors WHERE site_id = %(site_id)s

-- name: first_own_day
-- The site's first day with something of its own, its rows there or dropped; today where it has nothing yet.
SELECT least(
    site_day(%(site_id)s, %(at)s),
    site_day(%(site_id)s, (SELECT min(occurred_at) FROM events WHERE site_id = %(site_id)s)),
    site_day(%(site_id)s, (SELECT min(requested_at) FROM recommendation_requests WHERE site_id = %(site_id)s)),
    (SELECT min(date) FROM daily_stats AS d WHERE site_id = %(site_id)s AND NOT EXISTS (
        SELECT FROM imports AS i WHERE i.site_id = d.site_id AND source = 'plausible' AND undone_at IS NULL
            AND date BETWEEN first_at::date AND last_at::date)))

-- name: days_there
-- Days of a span that have figures already.
SELECT count(*), min(date) FROM daily_stats WHERE site_id = %(site_id)s AND date BETWEEN %(first)s AND %(last)s

-- name: imported_there
-- An import among whose days some of a span lie, though it has no figures of them: with it they would go.
SELECT import_id FROM imports
WHERE site_id = %(site_id)s AND source = 'plausible' AND undone_at IS NULL
    AND first_at::date <= %(last)s AND last_at::date >= %(first)s

-- name: put_stats
-- A day as a whole.
INSERT INTO daily_stats (site_id, date, total_views, unique_users, path_stats, visitors)
VALUES (%(site_id)s, %(date)s, %(page_views)s, %(unique_users)s, %(paths)s, %(sketch)s)

-- name: put_sessions
-- What its sessions were.
INSERT INTO daily_sessions (site_id, date, sessions, bounces, page_views, events, length_ms, length_ms_histogram)
VALUES (%(site_id)s, %(date)s, %(sessions)s, %(bounces)s, %(page_views)s, %(events)s, %(length_ms)s, %(histogram)s)

-- name: put_events
-- One type's figures of a day.
INSERT INTO daily_events (site_id, date, event_type_id, events, sessions, visitors)
SELECT %(site_id)s, %(date)s, event_type_id, %(events)s, %(sessions)s, %(sketch)s
FROM event_types WHERE event_type = %(event_type)s

-- name: know_types
-- Types that nobody sent here yet.
INSERT INTO event_types (event_type) SELECT unnest(%(types)s::text[]) ON CONFLICT DO NOTHING

-- name: put_dimensions
-- All of a day's values.
INSERT INTO daily_dimensions (site_id, date, dimension, value, events, page_views, sessions)
SELECT %(site_id)s, %(date)s, dimension, value, page_views, page_views, sessions
FROM unnest(%(dimensions)s::text[], %(values)s::text[], %(page_views)s::bigint[], %(sessions)s::bigint[])
    AS v (dimension, value, page_views, sessions)

-- name: close_days
-- Days before this one are as they will ever be; the import remembers which one it was before.
WITH before AS (SELECT floor FROM floors WHERE site_id = %(site_id)s),
raised AS (
    INSERT INTO floors AS f (site_id, floor, floor_at, closed, closed_hour)
    SELECT %(site_id)s, %(floor)s::date, starts, %(floor)s::date, date_trunc('hour', starts, 'UTC')
    FROM site_day_starts(%(site_id)s, %(floor)s::date) AS starts
    ON CONFLICT (site_id) DO UPDATE SET floor = excluded.floor, floor_at = excluded.floor_at,
        closed = excluded.closed, closed_hour = excluded.closed_hour
    WHERE f.floor < excluded.floor)
UPDATE imports SET floor_before = (SELECT floor FROM before) WHERE import_id = %(import_id)s

-- name: open_days
-- The same taken back, unless more days were closed since; those of other imports stay closed. An import after it goes
-- back to where this one would have.
WITH follow AS (
    UPDATE imports SET floor_before = %(floor_before)s::date
    WHERE site_id = %(site_id)s AND floor_before = %(floor)s AND undone_at IS NULL
), wanted AS MATERIALIZED (
    SELECT greatest(%(floor_before)s::date, max(last_at)::date + 1) AS day FROM imports
    WHERE site_id = %(site_id)s AND source = 'plausible' AND undone_at IS NULL AND import_id <> %(import_id)s
        AND last_at::date < %(floor)s
), back AS (
    UPDATE floors SET floor = day, closed = day, floor_at = site_day_starts(site_id, day),
        closed_hour = date_trunc('hour', site_day_starts(site_id, day), 'UTC')
    FROM wanted WHERE site_id = %(site_id)s AND floor = %(floor)s AND day IS NOT NULL
)
DELETE FROM floors USING wanted WHERE site_id = %(site_id)s AND floor = %(floor)s AND day IS NULL
