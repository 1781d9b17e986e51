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
    retry_count integer NOT NULL DEFAULT 0,
    error_message text,
    due_at timestamptz NOT NULL DEFAULT now(),  -- when it may be taken, or taken again; when it was done
    processed_at timestamptz
);
CREATE INDEX event_outbox_status ON event_outbox (processing_status, due_at);
-- In order of time over both statuses, which the other index is not: it would be sorted whole for each hundred.
CREATE INDEX event_outbox_due ON event_outbox (due_at) WHERE processing_status IN ('pending', 'processing');

-- Writes one event in the caller's transaction. Runs as its owner, so that an application needs no more than EXECUTE.
CREATE FUNCTION emit_platform_event(
    p_event_type text,
    p_event_category text DEFAULT NULL,
    p_user_id text DEFAULT NULL,
    p_entity_type text DEFAULT NULL,
    p_entity_id text DEFAULT NULL,
    p_event_data jsonb DEFAULT NULL,
    p_metadata jsonb DEFAULT NULL,
    p_site_id text DEFAULT 'default'
) RETURNS uuid LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    INSERT INTO event_outbox (site_id, event_type, event_category, user_id, entity_type, entity_id, event_data, metadata)
    VALUES (p_site_id, p_event_type, p_event_category, p_user_id, p_entity_type, p_entity_id, p_event_data,
            coalesce(p_metadata, '{}'))
    RETURNING event_id;
END;

-- The same for ids that are UUIDs, which Postgres would not cast by itself. Without defaults: a call with fewer
-- arguments would fit both.
CREATE FUNCTION emit_platform_event(
    p_event_type text,
    p_event_category text,
    p_user_id uuid,
    p_entity_type text,
    p_entity_id uuid,
    p_event_data jsonb DEFAULT NULL,
    p_metadata jsonb DEFAULT NULL,
    p_site_id text DEFAULT 'default'
) RETURNS uuid LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    SELECT emit_platform_event(p_event_type, p_event_category, p_user_id::text, p_entity_type, p_entity_id::text,
                               p_event_data, p_metadata, p_site_id);
END;

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
        retry_count = retry_count + (p_status = 'failed')::int,
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
        AND proname IN ('emit_platform_event', 'get_pending_events', 'mark_event_processed')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', one);
    END LOOP;
END $$;
