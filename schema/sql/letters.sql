-- Dead letters as pages show them. Types are not read as jsonb: that refuses U+0000, of which some letters died.

-- name: page
-- One page of a site's letters, newest first.
SELECT dead_letter_id, event_id, event_type, events, reason, state, created_at, patched_at
FROM (SELECT dead_letter_id, event_id, events, reason, state, created_at, patched_at,
          CASE WHEN event_id IS NULL THEN 'unreadable'
          ELSE substring(convert_from(raw, 'UTF8') FROM '"event_type":"((?:[^"\\]|\\.)*)"') END AS event_type
      FROM dead_letters WHERE site_id = %(site_id)s) AS letters
WHERE (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(reason)s::text IS NULL OR reason = %(reason)s) AND (%(type)s::text IS NULL OR event_type = %(type)s)
    AND (%(before)s::bigint IS NULL OR dead_letter_id < %(before)s)
ORDER BY dead_letter_id DESC LIMIT %(limit)s

-- name: reasons
-- What the newest of a site's open letters died of, most frequent first.
SELECT event_type, reason, count(*) AS letters, max(created_at) AS newest
FROM (SELECT reason, created_at, CASE WHEN event_id IS NULL THEN 'unreadable'
          ELSE substring(convert_from(raw, 'UTF8') FROM '"event_type":"((?:[^"\\]|\\.)*)"') END AS event_type
      FROM dead_letters WHERE site_id = %(site_id)s AND state = 'dead'
      ORDER BY dead_letter_id DESC LIMIT %(looked_at)s) AS letters
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 12

-- name: one
-- A letter of a site, to read.
SELECT dead_letter_id, batch_id, event_id, events, received_at, raw, reason, sqlstate, state, created_at, patched_at,
    resolved_at
FROM dead_letters WHERE site_id = %(site_id)s AND dead_letter_id = %(dead_letter_id)s

-- name: lately
-- Events of a site that died within ten minutes.
SELECT coalesce(sum(events), 0)::bigint FROM dead_letters
WHERE site_id = %(site_id)s AND state = 'dead' AND created_at > now() - interval '10 minutes'
