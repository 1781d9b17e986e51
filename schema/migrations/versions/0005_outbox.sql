-- Events that triggers and application transactions emit: a row is there if, and only if, their transaction committed.
-- A worker moves rows to the queue under their own id, so that a row moved twice is still one event.
CREATE TABLE event_outbox (
    event_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    site_id text NOT NULL,
    event_type text NOT NULL,
    event_category text,
    user_id text,
    entity_type text,
    entity_id text,
    event_data jsonb,
    metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    processing_status text NOT NULL DEFAULT 'pending'  -- processed and completed are two words for done
        CHECK (processing_status IN ('pending', 'processing', 'processed', 'completed', 'failed')),
    retry_count integer NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
    error_message text,
    due_at timestamptz NOT NULL DEFAULT now(),  -- when it may be taken, or taken again; when it was done
    processed_at timestamptz
);
-- Not compressed, so that a row's size is known before it is unpacked.
ALTER TABLE event_outbox ALTER COLUMN event_data SET STORAGE EXTERNAL, ALTER COLUMN metadata SET STORAGE EXTERNAL;
CREATE INDEX event_outbox_status ON event_outbox (processing_status, due_at);
-- In order of time over both statuses, which the other index is not: it would be sorted whole for each hundred.
CREATE INDEX event_outbox_due ON event_outbox (due_at) WHERE processing_status IN ('pending', 'processing');

-- Writes one event in the caller's transaction. Runs as its owner, so that an application needs no right to the table.
CREATE FUNCTION write_platform_event(text, text, text, text, text, jsonb, jsonb, text)
    RETURNS uuid LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    INSERT INTO event_outbox (event_type, event_category, user_id, entity_type, entity_id, event_data, metadata, site_id)
    VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, '{}'), $8)
    RETURNING event_id;
END;

-- What applications call. An entity's id is of any type; a literal is text. These run as whoever calls them: a type of
-- the caller's own may have a cast to text of its own, which must not run as the owner.
CREATE FUNCTION emit_platform_event(
    p_event_type text,
    p_event_category text DEFAULT NULL,
    p_user_id text DEFAULT NULL,
    p_entity_type text DEFAULT NULL,
    p_entity_id anycompatible DEFAULT NULL::text,
    p_event_data jsonb DEFAULT NULL,
    p_metadata jsonb DEFAULT NULL,
    p_site_id text DEFAULT 'default'
) RETURNS uuid LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT write_platform_event(p_event_type, p_event_category, p_user_id, p_entity_type, p_entity_id::text, p_event_data,
                                p_metadata, p_site_id);
$$;

-- The same for users' ids that are UUIDs, which Postgres would not cast by itself. A parameter without a default cannot
-- come after one that has some, so there are two: where type and category are given by their places,
CREATE FUNCTION emit_platform_event(
    text,
    text,
    p_user_id uuid,
    p_entity_type text DEFAULT NULL,
    p_entity_id anycompatible DEFAULT NULL::text,
    p_event_data jsonb DEFAULT NULL,
    p_metadata jsonb DEFAULT NULL,
    p_site_id text DEFAULT 'default'
) RETURNS uuid LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT write_platform_event($1, $2, p_user_id::text, p_entity_type, p_entity_id::text, p_event_data, p_metadata,
                                p_site_id);
$$;

-- and where they are named. No call fits both: the first has no such names, the second has the user in second place.
CREATE FUNCTION emit_platform_event(
    p_event_type text,
    p_user_id uuid,
    p_event_category text DEFAULT NULL,
    p_entity_type text DEFAULT NULL,
    p_entity_id anycompatible DEFAULT NULL::text,
    p_event_data jsonb DEFAULT NULL,
    p_metadata jsonb DEFAULT NULL,
    p_site_id text DEFAULT 'default'
) RETURNS uuid LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT write_platform_event(p_event_type, p_event_category, p_user_id::text, p_entity_type, p_entity_id::text,
                                p_event_data, p_metadata, p_site_id);
$$;

-- Takes what is due for 30 seconds: whoever dies meanwhile leaves it to the next caller. Two callers never get the same.
CREATE FUNCTION get_pending_events(p_limit integer DEFAULT 100) RETURNS SETOF event_outbox
    LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    WITH due AS MATERIALIZED (
        SELECT event_id FROM event_outbox
        WHERE processing_status IN ('pending', 'processing') AND due_at <= now()
        ORDER BY due_at LIMIT coalesce(p_limit, 100) FOR UPDATE SKIP LOCKED
    )
    UPDATE event_outbox AS o SET processing_status = 'processing', due_at = clock_timestamp() + interval '30 seconds'
    FROM due WHERE o.event_id = due.event_id
    RETURNING o.*;
$$;

-- Says how it went: processed (or completed), or failed. What failed is due again after 10 and then 20 seconds; the third
-- time it stays failed. Returns whether there was anything to say it of: what is done stays done.
CREATE FUNCTION mark_event_processed(p_event_id uuid, p_status text DEFAULT 'processed', p_error text DEFAULT NULL)
    RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF p_status IS NULL OR p_status NOT IN ('processed', 'completed', 'failed') THEN
        RAISE invalid_parameter_value USING MESSAGE = format('status is processed, completed or failed, not %L', p_status);
    END IF;
    UPDATE event_outbox SET
        processing_status = CASE WHEN p_status <> 'failed' THEN p_status
                                 WHEN retry_count >= 2 THEN 'failed' ELSE 'pending' END,
        retry_count = CASE WHEN p_status = 'failed' THEN least(retry_count, 2) + 1 ELSE retry_count END,
        due_at = clock_timestamp() + CASE WHEN p_status = 'failed' AND retry_count < 2
                                          THEN interval '10 seconds' * 2 ^ retry_count ELSE interval '0' END,
        error_message = CASE WHEN p_status = 'failed' THEN coalesce(p_error, 'no reason given') END,
        processed_at = CASE WHEN p_status <> 'failed' THEN clock_timestamp() END
    WHERE event_id = p_event_id AND processing_status IN ('pending', 'processing');
    RETURN FOUND;
END $$;

-- Nobody may do any of it unasked; grants.sql lets the writer.
DO $$
DECLARE
    one regprocedure;
BEGIN
    FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        AND proname IN ('emit_platform_event', 'write_platform_event', 'get_pending_events', 'mark_event_processed')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', one);
    END LOOP;
END $$;
