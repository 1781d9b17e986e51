-- A site's days, in its own time zone, from events that are no bots'. What has no owner or share code has '' for it.
CREATE TABLE daily_stats (
    site_id text NOT NULL,
    date date NOT NULL,
    total_views bigint NOT NULL,
    unique_users bigint NOT NULL,
    path_stats jsonb NOT NULL,
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

-- By what visitors came and with what: one row per value of a dimension (referrer, source, utm_campaign, device, …).
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

CREATE TABLE daily_trips (
    site_id text NOT NULL,
    date date NOT NULL,
    trip_id bigint NOT NULL,
    impressions bigint NOT NULL,
    clicks bigint NOT NULL,
    saves bigint NOT NULL,
    whatsapp_contacts bigint NOT NULL,
    phone_contacts bigint NOT NULL,
    booking_starts bigint NOT NULL,
    dwell_ms bigint NOT NULL,
    dwells bigint NOT NULL,
    PRIMARY KEY (site_id, date, trip_id)
);

-- What sessions were within one day; one that crosses midnight is a session of both. length_ms_histogram: of their length
-- in ms, as in schema/histogram.py.
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

-- Until when the figures are complete: whatever was stored before as_of is in them. One row.
CREATE TABLE rolled_up (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    as_of timestamptz NOT NULL
);
INSERT INTO rolled_up (as_of) VALUES ('-infinity');
