-- What could not be stored, and what became of it.

-- name: list
-- Dead letters, newest first.
SELECT dead_letter_id, site_id, batch_id, event_id, events, reason, sqlstate, state, created_at, patched_at
FROM dead_letters
WHERE (%(site_id)s::text IS NULL OR site_id = %(site_id)s) AND (%(state)s::text IS NULL OR state = %(state)s)
ORDER BY dead_letter_id DESC
LIMIT %(limit)s

-- name: get
-- One dead letter, locked so that two replays of it follow each other.
SELECT dead_letter_id, site_id, batch_id, event_id, received_at, events, raw, shared, reason, sqlstate, stream_id, state,
    created_at, patched_at, resolved_at
FROM dead_letters WHERE dead_letter_id = %(dead_letter_id)s FOR UPDATE

-- name: open_ids
-- What a replay of everything would replay, oldest first.
SELECT dead_letter_id FROM dead_letters
WHERE state = 'dead' AND event_id IS NOT NULL AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)
ORDER BY dead_letter_id

-- name: patch
-- Replaces the event of a dead letter that is still dead.
UPDATE dead_letters SET raw = %(raw)s, event_id = %(event_id)s, patched_at = now()
WHERE dead_letter_id = %(dead_letter_id)s AND state = 'dead'

-- name: resolve
-- The letter is not dead any more; whose token it came with is of no more use here.
UPDATE dead_letters SET state = %(state)s, resolved_at = now(), shared = shared - 'verified'
WHERE dead_letter_id = %(dead_letter_id)s

-- name: correct_receipt
-- One event of the batch turned from dead into stored or duplicate; nothing is accepted again.
UPDATE batches SET dead = dead - 1, stored = stored + %(stored)s, duplicate = duplicate + %(duplicate)s
WHERE batch_id = %(batch_id)s

-- name: discard
-- The letter is given up; whose token it came with is of no more use here.
UPDATE dead_letters SET state = 'discarded', resolved_at = now(), shared = shared - 'verified'
WHERE dead_letter_id = %(dead_letter_id)s AND state = 'dead'

-- name: discard_receipt
-- Events of the batch turned from dead into discarded.
UPDATE batches SET dead = dead - %(events)s, discarded = discarded + %(events)s WHERE batch_id = %(batch_id)s

-- name: matching
-- Ids of a site's open letters of a type and reason, oldest first: those that hold an event, or all.
SELECT dead_letter_id
FROM (SELECT dead_letter_id, event_id, reason, CASE WHEN event_id IS NULL THEN 'unreadable'
          ELSE substring(convert_from(raw, 'UTF8') FROM '"event_type":"((?:[^"\\]|\\.)*)"') END AS event_type
      FROM dead_letters WHERE site_id = %(site_id)s AND state = 'dead' AND dead_letter_id > %(after)s) AS letters
WHERE (event_id IS NOT NULL OR %(unreadable)s) AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(type)s::text IS NULL OR event_type = %(type)s)
ORDER BY dead_letter_id LIMIT %(limit)s
