-- A site's days are its own: of a zone the dates [since, until), which are the moments [starts, ends). One row a site, and
-- one more for each change of its zone, which applies from a midnight to come, so that no day that was is another.
CREATE TABLE site_zones (
    site_id text NOT NULL REFERENCES sites ON DELETE CASCADE,
    since date NOT NULL DEFAULT '-infinity',
    until date NOT NULL DEFAULT 'infinity',
    starts timestamptz NOT NULL DEFAULT '-infinity',
    ends timestamptz NOT NULL DEFAULT 'infinity',
    time_zone text NOT NULL,
    PRIMARY KEY (site_id, since)
);
INSERT INTO site_zones (site_id, time_zone) SELECT site_id, time_zone FROM sites;

-- The day of a moment in a zone that has days before `until`: where a change goes west, the last of them is longer.
CREATE FUNCTION local_day(at timestamptz, zone text, until date) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN least((at AT TIME ZONE zone)::date, until - 1);

-- The day of a moment at a site.
CREATE FUNCTION site_day(site text, at timestamptz) RETURNS date LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (SELECT local_day(at, time_zone, until) FROM site_zones WHERE site_id = site AND at >= starts AND at < ends);

-- When a site's day begins; it ends when the next one does.
CREATE FUNCTION site_day_starts(site text, day date) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (SELECT least(day_starts(day, time_zone), ends) FROM site_zones
            WHERE site_id = site AND since <= day ORDER BY since DESC LIMIT 1);

-- A new zone holds from the first of its midnights that is an hour away: what drains and rollups have in hand is older.
-- A site without any past changes altogether.
CREATE FUNCTION keep_site_zones() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    present site_zones;
    first date := ((now() + interval '1 hour') AT TIME ZONE NEW.time_zone)::date + 1;
BEGIN
    IF TG_OP = 'INSERT' OR NOT EXISTS (
        SELECT FROM events WHERE site_id = NEW.site_id UNION ALL SELECT FROM daily_events WHERE site_id = NEW.site_id
        UNION ALL SELECT FROM recommendation_requests WHERE site_id = NEW.site_id)
    THEN
        DELETE FROM site_zones WHERE site_id = NEW.site_id;
        INSERT INTO site_zones (site_id, time_zone) VALUES (NEW.site_id, NEW.time_zone);
        RETURN NULL;
    END IF;
    DELETE FROM site_zones WHERE site_id = NEW.site_id AND starts > now();
    SELECT * INTO present FROM site_zones WHERE site_id = NEW.site_id ORDER BY since DESC LIMIT 1;
    first := greatest(first, present.since + 1);  -- on the other side of the date line it may still be yesterday
    IF present.time_zone = NEW.time_zone THEN
        UPDATE site_zones SET until = 'infinity', ends = 'infinity' WHERE (site_id, since) = (NEW.site_id, present.since);
    ELSE
        UPDATE site_zones SET until = first, ends = day_starts(first, NEW.time_zone)
        WHERE (site_id, since) = (NEW.site_id, present.since);
        INSERT INTO site_zones (site_id, since, starts, time_zone)
        VALUES (NEW.site_id, first, day_starts(first, NEW.time_zone), NEW.time_zone);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_zones_of_new AFTER INSERT ON sites FOR EACH ROW EXECUTE FUNCTION keep_site_zones();
CREATE TRIGGER keep_zones AFTER UPDATE OF time_zone ON sites FOR EACH ROW
    WHEN (OLD.time_zone <> NEW.time_zone) EXECUTE FUNCTION keep_site_zones();

-- The host of an address, without www; of what is no address, what stands before its first slash.
CREATE FUNCTION host_of(address text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN nullif(regexp_replace(coalesce(
        substring(lower(address) FROM '^(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#@]*@)?(\[[^]]*\]|[^/:?#]*)'),
        substring(lower(address) FROM '^[^/?#]*')), '^www\.', ''), '');

-- The figures of a site's days, from events that are no bots'. What has no owner or share code, target, category or page
-- type has '' for it, so that rows add up to the site's. `visitors` is the sketch of all who sent anything, and
-- unique_users their exact number; path_stats has the views of every path.
CREATE TABLE daily_stats (
    site_id text NOT NULL,
    date date NOT NULL,
    total_views bigint NOT NULL,
    unique_users bigint NOT NULL,
    path_stats jsonb NOT NULL,
    visitors bytea NOT NULL,
    PRIMARY KEY (site_id, date)
);
CREATE TABLE daily_user_stats (
    site_id text NOT NULL,
    owner_code text NOT NULL,
    date date NOT NULL,
    total_sessions bigint NOT NULL,
    total_page_views bigint NOT NULL,
    total_clicks bigint NOT NULL,
    unique_share_codes text[] NOT NULL,
    PRIMARY KEY (site_id, date, owner_code)
);
CREATE TABLE daily_group_stats (
    site_id text NOT NULL,
    owner_code text NOT NULL,
    share_code text NOT NULL,
    date date NOT NULL,
    total_sessions bigint NOT NULL,
    total_page_views bigint NOT NULL,
    total_clicks bigint NOT NULL,
    PRIMARY KEY (site_id, date, owner_code, share_code)
);
CREATE TABLE daily_click_targets (
    site_id text NOT NULL,
    owner_code text NOT NULL,
    share_code text NOT NULL,
    date date NOT NULL,
    click_target text NOT NULL,
    click_category text NOT NULL,
    click_count bigint NOT NULL,
    PRIMARY KEY (site_id, date, owner_code, share_code, click_target, click_category)
);
CREATE TABLE daily_page_stats (
    site_id text NOT NULL,
    owner_code text NOT NULL,
    share_code text NOT NULL,
    date date NOT NULL,
    page_type text NOT NULL,
    view_count bigint NOT NULL,
    PRIMARY KEY (site_id, date, owner_code, share_code, page_type)
);

-- By what visitors came, with what, and to where: one row per value of a dimension. Of an event are source, device,
-- browser, os, country, screen, utm_source, utm_medium, utm_campaign, utm_term, utm_content, path and referrer: its host,
-- unless that is the page's own. A session counts once for each value that any of its events has. Of a whole session are
-- entry_path and exit_path, those of its first and last page view in the day, with all of its events and page views.
-- An event without a value is in no row.
CREATE TABLE daily_dimensions (
    site_id text NOT NULL,
    date date NOT NULL,
    dimension text NOT NULL,
    value text NOT NULL,
    events bigint NOT NULL,
    page_views bigint NOT NULL,
    sessions bigint NOT NULL
);
CREATE UNIQUE INDEX daily_dimensions_key ON daily_dimensions (site_id, dimension, date, (md5(value)::uuid));

-- What happened to trips: a row a day, and in each column a number a trip, in the order of trip_ids. A month of five
-- thousand trips a day is read as 30 rows; as 150,000 it took fifteen times as long. To be read by eye:
-- readable_daily_trips. Not compressed, since numbers that are no wider than they must be leave little to squeeze out.
CREATE TABLE daily_trips (
    site_id text NOT NULL,
    date date NOT NULL,
    trips integer NOT NULL CHECK (trips > 0),
    trip_ids bytea STORAGE EXTERNAL NOT NULL,
    impressions bytea STORAGE EXTERNAL NOT NULL,
    clicks bytea STORAGE EXTERNAL NOT NULL,
    saves bytea STORAGE EXTERNAL NOT NULL,
    whatsapp_contacts bytea STORAGE EXTERNAL NOT NULL,
    phone_contacts bytea STORAGE EXTERNAL NOT NULL,
    booking_starts bytea STORAGE EXTERNAL NOT NULL,
    dwell_ms bytea STORAGE EXTERNAL NOT NULL,
    dwells bytea STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (site_id, date)
);

-- One of many numbers from 0 on, big-endian, in as many bytes as `most`, the largest of them, needs: 0, 1, 2, 4 or 8.
CREATE FUNCTION packed(number bigint, most bigint) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN substr(int8send(number), CASE WHEN most = 0 THEN 9 WHEN most < 256 THEN 8 WHEN most < 65536 THEN 7 WHEN most < 4294967296 THEN 5 ELSE 1 END);

-- So many numbers that were packed one after the other.
CREATE FUNCTION unpacked(numbers bytea, many integer) RETURNS SETOF bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('x' || lpad(encode(substr(whole, at * width + 1, width), 'hex'), 16, '0'))::bit(64)::bigint
    FROM (SELECT numbers || ''::bytea AS whole, length(numbers) / many AS width OFFSET 0) AS fetched_once,
        generate_series(0, many - 1) AS at
    ORDER BY at
$$;

CREATE VIEW readable_daily_trips WITH (security_invoker) AS
SELECT site_id, date, trip.* FROM daily_trips AS d CROSS JOIN LATERAL ROWS FROM (
    unpacked(d.trip_ids, trips), unpacked(d.impressions, trips), unpacked(d.clicks, trips), unpacked(d.saves, trips),
    unpacked(d.whatsapp_contacts, trips), unpacked(d.phone_contacts, trips), unpacked(d.booking_starts, trips),
    unpacked(d.dwell_ms, trips), unpacked(d.dwells, trips)
) AS trip (trip_id, impressions, clicks, saves, whatsapp_contacts, phone_contacts, booking_starts, dwell_ms, dwells);

-- Who did what, when: a row a day, and one a day and type, so that a funnel of a month is read as some hundred rows, and
-- outlives events. The day's sessions are in the order of their first events: 16 bytes each of session_ids, and in `began`
-- by how many milliseconds each began after the one before it, the first after `starts`. A type's events are in the order
-- of sessions, then of time: in `walks` by how many places further each one's session is, in after_ms and after_us, which
-- add up, how long after the one before it it came, a session's first after that session began. Numbers are packed as in
-- schema/narrow.py; of these only `walks` leaves anything to squeeze out. No user is here: sessions say whose they are, also
-- after a merge.
CREATE TABLE daily_walks (
    site_id text NOT NULL,
    date date NOT NULL,
    starts timestamptz NOT NULL,
    sessions integer NOT NULL CHECK (sessions > 0),
    session_ids bytea STORAGE EXTERNAL NOT NULL,
    began bytea STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (site_id, date)
);
CREATE TABLE daily_steps (
    site_id text NOT NULL,
    date date NOT NULL,
    event_type_id smallint NOT NULL,
    events integer NOT NULL CHECK (events > 0),
    walks bytea NOT NULL,
    after_ms bytea STORAGE EXTERNAL NOT NULL,
    after_us bytea STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (site_id, event_type_id, date)
);

-- What sessions were within one day; one that crosses midnight is a session of both. length_ms: from the first to the last
-- event in the day; length_ms_histogram: of it, as in schema/histogram.py. A bounce is a session with one page view and
-- nothing else that its visitor did: impression, results_view, scroll_depth, trip_dwell, session_start, session.started and
-- user_identify come by themselves and change nothing.
CREATE TABLE daily_sessions (
    site_id text NOT NULL,
    date date NOT NULL,
    sessions bigint NOT NULL,
    bounces bigint NOT NULL,
    page_views bigint NOT NULL,
    events bigint NOT NULL,
    length_ms bigint NOT NULL,
    length_ms_histogram bigint[] NOT NULL,
    PRIMARY KEY (site_id, date)
);

-- An hour of all types together. Hours are never united, so that the number of their visitors is enough.
CREATE TABLE hourly_stats (
    site_id text NOT NULL,
    hour timestamptz NOT NULL,
    events bigint NOT NULL,
    unique_users bigint NOT NULL,
    PRIMARY KEY (site_id, hour)
);

-- Until when the figures are complete: whatever was stored before as_of is in them. One row.
CREATE TABLE rolled_up (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    as_of timestamptz NOT NULL
);
INSERT INTO rolled_up (as_of) VALUES ('-infinity');

-- What is rolled up already gets its other figures from the next rollup.
INSERT INTO dirty_days (site_id, date) SELECT DISTINCT site_id, date FROM daily_events;
INSERT INTO dirty_hours (site_id, hour) SELECT DISTINCT site_id, hour FROM rollup_hourly;
