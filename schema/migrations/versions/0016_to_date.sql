-- name: change
-- Trips of each month to date, under each day that has some: what a month had by one day, less what it had by another, is
-- what happened between them, so that any thirty days are two or three rows. `days`: on how many of them there was something
-- of a trip, so that one of which nothing is left is known. A late event writes its month's later days anew.
CREATE TABLE month_to_date_trips (LIKE daily_trips INCLUDING ALL, days bytea STORAGE EXTERNAL NOT NULL);
DROP TABLE weekly_trips;

-- name: days
-- Each day as a row of schema/packed.py, in which each trip is on one day.
SELECT site_id, date, 1 AS sign, trips, trip_ids, impressions, clicks, saves, whatsapp_contacts, phone_contacts,
    booking_starts, dwell_ms, dwells, decode(repeat('01', trips), 'hex') AS days
FROM daily_trips ORDER BY site_id, date

-- name: add
INSERT INTO month_to_date_trips (site_id, date, trips, trip_ids, impressions, clicks, saves, whatsapp_contacts,
    phone_contacts, booking_starts, dwell_ms, dwells, days)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
