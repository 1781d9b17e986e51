-- Sites and their keys. A key is kept as its SHA-256 only.
CREATE TABLE sites (
    site_id text PRIMARY KEY CHECK (site_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name text NOT NULL,
    time_zone text NOT NULL DEFAULT 'UTC',
    origins text[] NOT NULL DEFAULT '{*}',
    open_to text NOT NULL DEFAULT 'nobody' CHECK (open_to IN ('nobody', 'loopback', 'everyone')),
    strict boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE site_keys (
    key_hash bytea PRIMARY KEY CHECK (length(key_hash) = 32),
    site_id text NOT NULL REFERENCES sites,
    role text NOT NULL CHECK (role IN ('write', 'read')),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
CREATE INDEX ON site_keys (site_id);

-- The event type registry. A category is a retention class, and the first level of the events' partitions.
CREATE TYPE event_category AS ENUM ('interaction', 'transaction', 'user_activity', 'content');

CREATE TABLE event_types (
    event_type_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_type text NOT NULL UNIQUE,
    category event_category NOT NULL DEFAULT 'interaction',
    retention interval NOT NULL DEFAULT '1 year',
    json_schema jsonb,
    schema_version smallint NOT NULL DEFAULT 1,
    seeded boolean NOT NULL DEFAULT false
);

INSERT INTO event_types (event_type, category, retention, seeded)
SELECT unnest(string_to_array(types, ' ')), category::event_category, retention::interval, true
FROM (VALUES
    ('page_view search_submit results_view impression click_trip save_trip unsave_trip contact_whatsapp '
     'contact_phone booking_start scroll_depth trip_dwell filter_change filter_remove sort_change click '
     'profile.viewed search.performed filter.applied message.sent notification.clicked', 'interaction', '1 year'),
    ('project.created proposal.submitted milestone.approved payment.initiated payment.completed '
     'booking_complete', 'transaction', '7 years'),
    ('session_start user_identify user.login user.logout session.started password.changed mfa.enabled',
     'user_activity', '2 years'),
    ('review.posted portfolio.created profile.updated', 'content', '7 years')
) AS seed (types, category, retention);
INSERT INTO event_types (event_type, seeded) VALUES ('unregistered', true);  -- of events whose type was one too many

CREATE TABLE event_sources (
    source text PRIMARY KEY
);
INSERT INTO event_sources
SELECT unnest('{search_results,relaxed_results,homepage,trip_detail,saved_trips,email,campaign,other}'::text[]);

-- Dictionaries of repeated text. Unique by digest: the text itself may exceed what a b-tree entry holds.
CREATE TABLE user_agents (
    user_agent_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_agent text NOT NULL,
    browser text,
    os text,
    is_bot boolean NOT NULL,
    bot_reason text
);
CREATE UNIQUE INDEX user_agents_digest ON user_agents ((md5(user_agent)::uuid));

-- Addresses, paths, sources, devices: whatever text an event repeats. Per site, so that no site reads another's.
CREATE TABLE texts (
    text_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id text NOT NULL,
    text text NOT NULL
);
CREATE UNIQUE INDEX texts_digest ON texts (site_id, (md5(text)::uuid));

-- One receipt a batch. A batch that is here was drained: redelivery finds it and only acknowledges.
CREATE TABLE batches (
    batch_id uuid PRIMARY KEY,
    site_id text NOT NULL,
    received_at timestamptz NOT NULL,
    accepted integer NOT NULL,
    stored integer NOT NULL,
    duplicate integer NOT NULL DEFAULT 0,
    dead integer NOT NULL DEFAULT 0,
    discarded integer NOT NULL DEFAULT 0,
    verdicts jsonb,
    CHECK (accepted = stored + duplicate + dead + discarded)
);

-- The same, summed: what is left of receipts when they are old, and what /metrics reads. One row a lane, so
-- that two drains never wait for each other's row. Replays of dead letters have lane -1.
CREATE TABLE drained (
    site_id text NOT NULL,
    lane integer NOT NULL,
    batches bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    discarded bigint NOT NULL DEFAULT 0,
    seconds double precision NOT NULL DEFAULT 0,
    transactions bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (site_id, lane)
);

-- What Redis counted as accepted, copied by the clock: the promise survives the loss of Redis.
CREATE TABLE accepted_mirror (
    site_id text PRIMARY KEY,
    accepted bigint NOT NULL,
    mirrored_at timestamptz NOT NULL
);

-- The dedupe ledger: it, and not a key on events, decides what is new (a partitioned key would need the time).
CREATE TABLE event_ids (
    site_id text NOT NULL,
    event_id uuid NOT NULL,
    first_seen timestamptz NOT NULL,
    PRIMARY KEY (event_id, site_id)  -- uuids first: comparing them is cheaper than comparing text
) PARTITION BY HASH (event_id);
DO $$ BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format('CREATE TABLE event_ids_%s PARTITION OF event_ids '
                       'FOR VALUES WITH (MODULUS 8, REMAINDER %s)', part, part);
    END LOOP;
END $$;
CREATE INDEX event_ids_first_seen ON event_ids USING brin (first_seen) WITH (autosummarize = on);

-- Events. By category, then by month of occurred_at; no default partition and no unique key. Wide columns
-- first, then uuids and text, so that no padding is lost between them. A page's address is kept in two: up to the
-- query in `texts`, the query and fragment here. readable_events puts it all together.
CREATE TABLE events (
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    user_id bigint,
    trip_id bigint CHECK (trip_id > 0),
    score double precision CHECK (score > '-infinity' AND score < 'infinity'),
    category event_category NOT NULL,
    user_agent_id integer,
    referrer_id integer,
    page_id integer,
    path_id integer,
    source_id integer,
    device_type_id integer,
    screen_id integer,
    position integer CHECK (position >= 0),
    user_tenure_days integer,
    event_type_id smallint NOT NULL,
    schema_version smallint,
    is_bot boolean NOT NULL,
    event_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    session_id uuid NOT NULL,
    anonymous_id uuid,
    recommendation_request_id uuid,
    site_id text NOT NULL,
    page_query text,
    ip_prefix cidr,
    country text,
    owner_code text,
    share_code text,
    contact_id text,
    click_target text,
    click_category text,
    page_type text,
    auth_user_id text,
    claimed_user text,
    user_role text,
    utm jsonb,
    metadata jsonb
) PARTITION BY LIST (category);
CREATE TABLE events_interaction PARTITION OF events FOR VALUES IN ('interaction') PARTITION BY RANGE (occurred_at);
CREATE TABLE events_transaction PARTITION OF events FOR VALUES IN ('transaction') PARTITION BY RANGE (occurred_at);
CREATE TABLE events_user_activity PARTITION OF events FOR VALUES IN ('user_activity')
    PARTITION BY RANGE (occurred_at);
CREATE TABLE events_content PARTITION OF events FOR VALUES IN ('content') PARTITION BY RANGE (occurred_at);
CREATE INDEX events_time ON events USING brin (occurred_at) WITH (autosummarize = on);
CREATE INDEX events_site_time ON events (site_id, occurred_at);
CREATE INDEX events_session ON events (session_id);
CREATE INDEX events_user ON events (user_id);  -- with the time, its entries took 41 bytes each in place of 11

-- The distinct counts' unit: a merge of users never changes it, so it never rewrites history.
CREATE FUNCTION visitor_key(anonymous_id uuid, claimed_user text, batch_id uuid) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(anonymous_id::text, claimed_user, batch_id::text);

-- trip_dwell's metadata.duration_seconds in whole milliseconds; null where it is no sensible number.
CREATE FUNCTION dwell_ms(metadata jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN jsonb_typeof(metadata -> 'duration_seconds') = 'number'
                 AND (metadata ->> 'duration_seconds')::numeric BETWEEN 0 AND 1000000
                THEN round((metadata ->> 'duration_seconds')::numeric * 1000)::bigint END;

-- When a day of a zone begins: where clocks go back at midnight, at the first of the two that it then has.
CREATE FUNCTION day_starts(day date, zone text) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN day::timestamp AT TIME ZONE zone
        - CASE WHEN ((day::timestamp AT TIME ZONE zone - interval '1 hour') AT TIME ZONE zone)::date = day
               THEN interval '1 hour' ELSE interval '0' END;

-- A missing month is made by whoever needs it first; the lock keeps a second maker waiting, then finding it.
CREATE FUNCTION ensure_month(for_category event_category, month date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    starts date := date_trunc('month', month);
    parent text := 'events_' || for_category;
    part text := format('%s_%s', parent, to_char(starts, 'YYYY_MM'));
BEGIN
    IF to_regclass(format('public.%I', part)) IS NOT NULL THEN RETURN; END IF;
    PERFORM pg_advisory_xact_lock(hashtext('tripstream.ensure_month'));
    -- Not to_regclass again: it would answer from its cache what it answered before the wait.
    IF EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace) THEN RETURN; END IF;
    -- Made aside, then attached: CREATE … PARTITION OF would lock out every reader and writer of the category.
    EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', part, parent);
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', parent, part,
                   starts::timestamp AT TIME ZONE 'UTC', (starts + interval '1 month')::timestamp AT TIME ZONE 'UTC');
END $$;
REVOKE ALL ON FUNCTION ensure_month FROM PUBLIC;

-- Who a visitor is. A link says: from valid_from on, this value means this user.
CREATE TABLE users (
    user_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    site_id text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    total_searches bigint NOT NULL DEFAULT 0,
    total_clicks bigint NOT NULL DEFAULT 0,
    total_events bigint NOT NULL DEFAULT 0
);

CREATE TABLE identities (
    site_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('anonymous', 'claimed', 'batch', 'auth', 'email')),
    value text NOT NULL,
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    user_id bigint NOT NULL,
    linked_by text NOT NULL DEFAULT 'first_seen',
    linked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, kind, value, valid_from)
);

CREATE TABLE sessions (
    session_id uuid NOT NULL,
    site_id text NOT NULL,
    user_id bigint,
    anonymous_id uuid,
    started_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    device_type_id integer,
    user_agent_id integer,
    referrer_id integer,
    ip_prefix cidr,
    country text,
    owner_code text,
    share_code text,
    contact_id text,
    page_view_count bigint NOT NULL DEFAULT 0,
    search_count bigint NOT NULL DEFAULT 0,
    click_count bigint NOT NULL DEFAULT 0,
    save_count bigint NOT NULL DEFAULT 0,
    contact_count bigint NOT NULL DEFAULT 0,
    event_count bigint NOT NULL DEFAULT 0,
    mixed boolean NOT NULL DEFAULT false,  -- within a drain's transaction only
    PRIMARY KEY (site_id, session_id)
);
CREATE INDEX sessions_mixed ON sessions (site_id, session_id) WHERE mixed;
CREATE INDEX sessions_visitor ON sessions (site_id, anonymous_id, last_seen_at);
CREATE INDEX sessions_user ON sessions (user_id);

-- For people: events and sessions with the words that their ids stand for.
CREATE VIEW readable_events WITH (security_invoker) AS
SELECT e.occurred_at, t.event_type, e.category, e.site_id, e.event_id, e.session_id, e.anonymous_id, e.user_id, e.trip_id,
    e.recommendation_request_id, source.text AS source, e.position, e.score, nullif(coalesce(page.text, '') || coalesce(e.page_query, ''), '') AS page_url,
    path.text AS path, referrer.text AS referrer, device.text AS device_type, screen.text AS screen, a.user_agent,
    a.browser, a.os, e.is_bot, a.bot_reason, e.owner_code, e.share_code, e.contact_id, e.click_target, e.click_category,
    e.page_type, e.utm, e.metadata, e.schema_version, e.claimed_user, e.auth_user_id, e.ip_prefix, e.country,
    e.received_at, e.batch_id
FROM events AS e
JOIN event_types AS t USING (event_type_id)
LEFT JOIN user_agents AS a USING (user_agent_id)
LEFT JOIN texts AS source ON source.text_id = e.source_id
LEFT JOIN texts AS page ON page.text_id = e.page_id
LEFT JOIN texts AS path ON path.text_id = e.path_id
LEFT JOIN texts AS referrer ON referrer.text_id = e.referrer_id
LEFT JOIN texts AS device ON device.text_id = e.device_type_id
LEFT JOIN texts AS screen ON screen.text_id = e.screen_id;

CREATE VIEW readable_sessions WITH (security_invoker) AS
SELECT s.*, device.text AS device_type, a.browser, a.os, a.user_agent, referrer.text AS referrer
FROM sessions AS s
LEFT JOIN user_agents AS a USING (user_agent_id)
LEFT JOIN texts AS device ON device.text_id = s.device_type_id
LEFT JOIN texts AS referrer ON referrer.text_id = s.referrer_id;

CREATE TABLE trip_interactions (
    site_id text NOT NULL,
    trip_id bigint NOT NULL,
    impression_count bigint NOT NULL DEFAULT 0,
    click_count bigint NOT NULL DEFAULT 0,
    save_count bigint NOT NULL DEFAULT 0,
    whatsapp_contact_count bigint NOT NULL DEFAULT 0,
    phone_contact_count bigint NOT NULL DEFAULT 0,
    booking_start_count bigint NOT NULL DEFAULT 0,
    total_dwell_time_ms bigint NOT NULL DEFAULT 0,
    dwell_count bigint NOT NULL DEFAULT 0,
    total_dwell_time_seconds float8 GENERATED ALWAYS AS (total_dwell_time_ms / 1000.0::float8) STORED,
    avg_dwell_time_seconds float8 GENERATED ALWAYS AS (total_dwell_time_ms / 1000.0::float8 / nullif(dwell_count, 0)) STORED,
    ctr float8 GENERATED ALWAYS AS (click_count / nullif(impression_count, 0)::float8) STORED,
    save_rate float8 GENERATED ALWAYS AS (save_count / nullif(click_count, 0)::float8) STORED,
    contact_rate float8 GENERATED ALWAYS AS
        ((whatsapp_contact_count + phone_contact_count) / nullif(click_count, 0)::float8) STORED,
    PRIMARY KEY (site_id, trip_id)
) WITH (fillfactor = 50);  -- the hottest rows: an update finds room in its page and touches no index

-- What could not be stored. `raw` is the event as JSON, or the whole entry where not even that could be read;
-- bytes, because what Postgres refuses as text is what ends up here.
CREATE TABLE dead_letters (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id text NOT NULL,
    batch_id uuid NOT NULL,
    event_id uuid,
    received_at timestamptz NOT NULL,
    events integer NOT NULL DEFAULT 1,
    raw bytea NOT NULL,
    shared jsonb,
    reason text NOT NULL,
    sqlstate text,
    stream_id text,
    state text NOT NULL DEFAULT 'dead' CHECK (state IN ('dead', 'replayed', 'duplicate')),
    created_at timestamptz NOT NULL DEFAULT now(),
    patched_at timestamptz,
    resolved_at timestamptz
);
CREATE INDEX dead_letters_open ON dead_letters (site_id, dead_letter_id) WHERE state = 'dead';

-- Append-only: a unique key would lose marks, since a drain that meets a committed row takes no lock on it.
CREATE TABLE dirty_hours (site_id text NOT NULL, hour timestamptz NOT NULL);
CREATE TABLE dirty_days (site_id text NOT NULL, date date NOT NULL);

-- Rollups. `visitors` is a HyperLogLog sketch of visitor keys (Apache DataSketches, HLL_4, lgK 12).
CREATE TABLE rollup_hourly (
    site_id text NOT NULL,
    hour timestamptz NOT NULL,
    event_type_id smallint NOT NULL,
    events bigint NOT NULL,
    sessions bigint NOT NULL,
    visitors bytea NOT NULL,
    PRIMARY KEY (site_id, hour, event_type_id)
);
CREATE TABLE daily_events (
    site_id text NOT NULL,
    date date NOT NULL,
    event_type_id smallint NOT NULL,
    events bigint NOT NULL,
    sessions bigint NOT NULL,
    visitors bytea NOT NULL,
    PRIMARY KEY (site_id, date, event_type_id)
);
CREATE TABLE weekly_events (LIKE daily_events INCLUDING ALL);
CREATE TABLE monthly_events (LIKE daily_events INCLUDING ALL);

-- The clock's memory: a tick is a row, so two clocks run a chore once.
CREATE TABLE clock_ticks (
    chore text NOT NULL,
    slot timestamptz NOT NULL,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    error text,
    PRIMARY KEY (chore, slot)
);

INSERT INTO sites (site_id, name, open_to) VALUES ('default', 'The default site', 'loopback');
