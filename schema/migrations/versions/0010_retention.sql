-- How long rows are kept: whole months at their category's limit, one by one at a type's own (event_types.retention) or,
-- of interactions and user activity, at the site's (raw_days). The shortest counts.
CREATE TABLE category_limits (
    category event_category PRIMARY KEY,
    retention interval NOT NULL CHECK (retention >= interval '1 day')
);
INSERT INTO category_limits
VALUES ('interaction', '1 year'), ('transaction', '7 years'), ('user_activity', '2 years'), ('content', '7 years');
ALTER TABLE sites ADD COLUMN raw_days integer CHECK (raw_days BETWEEN 1 AND 36500);

-- Where a site's days end to change. What happened before floor_at (the beginning of the day `floor`) is refused by the
-- drain. Days before `closed`, hours before closed_hour, are as they will ever be: only of those rows may go.
CREATE TABLE floors (
    site_id text PRIMARY KEY,
    floor date NOT NULL,
    floor_at timestamptz NOT NULL,
    closed date NOT NULL DEFAULT '-infinity',
    closed_hour timestamptz NOT NULL DEFAULT '-infinity',
    CHECK (closed <= floor AND closed_hour <= floor_at)
);

-- Base rows: what events that are gone add to what is counted of those that are there.
CREATE TABLE base_events (
    site_id text PRIMARY KEY,
    events bigint NOT NULL  -- bots' too
);
CREATE TABLE base_receipts (
    site_id text PRIMARY KEY,
    stored bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    letters bigint NOT NULL DEFAULT 0  -- events of dead letters that were dead when they went
);
CREATE TABLE base_users (
    user_id bigint PRIMARY KEY,
    site_id text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    total_searches bigint NOT NULL,
    total_clicks bigint NOT NULL,
    total_events bigint NOT NULL
);
CREATE TABLE base_trips (
    site_id text NOT NULL,
    trip_id bigint NOT NULL,
    impression_count bigint NOT NULL,
    click_count bigint NOT NULL,
    save_count bigint NOT NULL,
    whatsapp_contact_count bigint NOT NULL,
    phone_contact_count bigint NOT NULL,
    booking_start_count bigint NOT NULL,
    total_dwell_time_ms bigint NOT NULL,
    dwell_count bigint NOT NULL,
    PRIMARY KEY (site_id, trip_id)
);

-- What describes a session is, field by field, the word of its earliest event that says it: said_at and said_by are that
-- event's time and id, field by field in the order of the columns from user_id to contact_id.
CREATE TABLE base_sessions (
    session_id uuid NOT NULL,
    site_id text NOT NULL,
    user_id bigint,
    anonymous_id uuid,
    device_type_id integer,
    user_agent_id integer,
    referrer_id integer,
    ip_prefix cidr,
    country text,
    owner_code text,
    share_code text,
    contact_id text,
    said_at timestamptz[] NOT NULL,
    said_by uuid[] NOT NULL,
    started_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    page_view_count bigint NOT NULL,
    search_count bigint NOT NULL,
    click_count bigint NOT NULL,
    save_count bigint NOT NULL,
    contact_count bigint NOT NULL,
    event_count bigint NOT NULL,
    PRIMARY KEY (site_id, session_id)
);

-- The same as events that each say one thing: to be asked together with those that are there.
CREATE VIEW base_words WITH (security_invoker) AS
SELECT site_id, session_id, said_at[n] AS occurred_at, said_by[n] AS event_id,
    CASE n WHEN 1 THEN user_id END AS user_id, CASE n WHEN 2 THEN anonymous_id END AS anonymous_id,
    CASE n WHEN 3 THEN device_type_id END AS device_type_id, CASE n WHEN 4 THEN user_agent_id END AS user_agent_id,
    CASE n WHEN 5 THEN referrer_id END AS referrer_id, CASE n WHEN 6 THEN ip_prefix END AS ip_prefix,
    CASE n WHEN 7 THEN country END AS country, CASE n WHEN 8 THEN owner_code END AS owner_code,
    CASE n WHEN 9 THEN share_code END AS share_code, CASE n WHEN 10 THEN contact_id END AS contact_id
FROM base_sessions CROSS JOIN generate_series(1, 10) AS n
WHERE said_at[n] IS NOT NULL;

-- Requests for recommendations that are gone, but of which events that are there speak: what those events are counted by.
CREATE TABLE base_requests (
    request_id uuid PRIMARY KEY,
    site_id text NOT NULL,
    requested_at timestamptz NOT NULL,
    is_bot boolean NOT NULL,
    results jsonb NOT NULL
);
