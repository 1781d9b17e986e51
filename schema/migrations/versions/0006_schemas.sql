-- JSON Schemas of event types, in versions that are only added to. As json: its properties keep their author's order,
-- which is that of the printed types. `personal_data` names the fields that hold any, like metadata.phone.
CREATE TABLE event_schemas (
    event_type text NOT NULL REFERENCES event_types (event_type),
    version smallint NOT NULL CHECK (version > 0),
    json_schema json NOT NULL,
    personal_data text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_type, version)
);
INSERT INTO event_schemas (event_type, version, json_schema)
SELECT event_type, schema_version, json_schema FROM event_types WHERE json_schema IS NOT NULL;
ALTER TABLE event_types DROP COLUMN json_schema, DROP COLUMN schema_version;

-- What lenient sites stored although it does not fit; a row a lane, so that two drains never wait for each other's.
CREATE TABLE schema_warnings (
    site_id text NOT NULL,
    event_type text NOT NULL,
    lane integer NOT NULL,
    warnings bigint NOT NULL,
    last_reason text NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (site_id, event_type, lane)
);

-- A batch's events have its received_at, and lie together: it leads to them in a few pages, where an index on batch_id
-- would cost each event 20 bytes.
DROP INDEX events_time;
CREATE INDEX events_time ON events USING brin (occurred_at, received_at) WITH (autosummarize = on);
CREATE INDEX dead_letters_batch ON dead_letters (batch_id);

-- The event's place in its request, which is what its receipt calls it by: an id may be there twice, and be patched.
ALTER TABLE dead_letters ADD COLUMN place integer;
