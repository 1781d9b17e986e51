-- Of an hour the exact number of visitors is kept beside their sketch, and a month of hours is read from the key alone. A
-- sketch of few is a list of them; for those of many their sessions stand until the hours are rolled up again.
ALTER TABLE rollup_hourly ADD COLUMN unique_users bigint;
UPDATE rollup_hourly SET unique_users = CASE WHEN get_byte(visitors, 0) = 10 THEN sessions ELSE length(visitors) / 4 - get_byte(visitors, 0) END;
ALTER TABLE rollup_hourly ALTER COLUMN unique_users SET NOT NULL, DROP CONSTRAINT rollup_hourly_pkey,
    ADD PRIMARY KEY (site_id, event_type_id, hour) INCLUDE (events, sessions, unique_users);
INSERT INTO dirty_hours (site_id, hour)
SELECT DISTINCT site_id, hour FROM rollup_hourly WHERE get_byte(visitors, 0) = 10;

-- Whole weeks, under their Mondays, of what a month has most rows of: four weeks and two days are read instead of thirty
-- days. A week is the sum of its days, and replaced together with them; closed ones, too, begin as that sum.
CREATE TABLE weekly_dimensions (LIKE daily_dimensions INCLUDING ALL);
INSERT INTO weekly_dimensions (site_id, date, dimension, value, events, page_views, sessions)
SELECT site_id, date_trunc('week', date)::date AS monday, dimension, value, sum(events), sum(page_views), sum(sessions)
FROM daily_dimensions GROUP BY site_id, monday, dimension, value ORDER BY site_id, dimension, monday, md5(value)::uuid;

CREATE TABLE weekly_trips (LIKE daily_trips INCLUDING ALL);
WITH summed AS (
    SELECT site_id, date_trunc('week', date)::date AS monday, trip_id, sum(impressions)::bigint AS impressions,
        sum(clicks)::bigint AS clicks, sum(saves)::bigint AS saves, sum(whatsapp_contacts)::bigint AS whatsapp_contacts,
        sum(phone_contacts)::bigint AS phone_contacts, sum(booking_starts)::bigint AS booking_starts,
        sum(dwell_ms)::bigint AS dwell_ms, sum(dwells)::bigint AS dwells
    FROM readable_daily_trips GROUP BY site_id, monday, trip_id
), most AS (
    SELECT site_id, monday, max(trip_id) AS trip_id, max(impressions) AS impressions, max(clicks) AS clicks,
        max(saves) AS saves, max(whatsapp_contacts) AS whatsapp_contacts, max(phone_contacts) AS phone_contacts,
        max(booking_starts) AS booking_starts, max(dwell_ms) AS dwell_ms, max(dwells) AS dwells
    FROM summed GROUP BY site_id, monday
)
INSERT INTO weekly_trips (site_id, date, trips, trip_ids, impressions, clicks, saves, whatsapp_contacts, phone_contacts,
    booking_starts, dwell_ms, dwells)
SELECT s.site_id, s.monday, count(*),
    string_agg(packed(s.trip_id, most.trip_id), ''::bytea ORDER BY s.trip_id),
    string_agg(packed(s.impressions, most.impressions), ''::bytea ORDER BY s.trip_id),
    string_agg(packed(s.clicks, most.clicks), ''::bytea ORDER BY s.trip_id),
    string_agg(packed(s.saves, most.saves), ''::bytea ORDER BY s.trip_id),
    string_agg(packed(s.whatsapp_contacts, most.whatsapp_contacts), ''::bytea ORDER BY s.trip_id),
    string_agg(packed(s.phone_contacts, most.phone_contacts), ''::bytea ORDER BY s.trip_id),
    string_agg(packed(s.booking_starts, most.booking_starts), ''::bytea ORDER BY s.trip_id),
    string_agg(packed(s.dwell_ms, most.dwell_ms), ''::bytea ORDER BY s.trip_id),
    string_agg(packed(s.dwells, most.dwells), ''::bytea ORDER BY s.trip_id)
FROM summed AS s JOIN most USING (site_id, monday) GROUP BY s.site_id, s.monday;
