-- Roles and what they may do. Runs after every migration and whenever there is none: a dump carries no roles, and a
-- database restored on another server has none of this. Changes nothing where nothing is missing.

-- The owner migrates; the writer drains and rolls up; the reader answers questions.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY '{tripstream_writer,tripstream_reader}'::text[] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOBYPASSRLS', wanted);
            END IF;
        EXCEPTION WHEN unique_violation OR duplicate_object THEN NULL;  -- another database of this server was first
        END;
        BEGIN
            EXECUTE format('GRANT %I TO %I', wanted, current_user);
        EXCEPTION
            WHEN unique_violation THEN NULL;
            WHEN insufficient_privilege THEN  -- somebody else's roles do too, once they were granted to us
                IF NOT pg_has_role(wanted, 'MEMBER') THEN RAISE; END IF;
        END;
        IF NOT has_schema_privilege(wanted, 'public', 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', wanted);
        END IF;
    END LOOP;
END $$;

-- The writer: every table and sequence, also those of later migrations, but not single months.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT oid::regclass AS name, relkind FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relname !~ '^(events_.*|recommendation_requests)_[0-9]{4}_[0-9]{2}$'
    LOOP
        IF one.relkind IN ('r', 'p', 'v') AND NOT (
            has_table_privilege('tripstream_writer', one.name, 'SELECT')
            AND has_table_privilege('tripstream_writer', one.name, 'INSERT')
            AND has_table_privilege('tripstream_writer', one.name, 'UPDATE')
            AND has_table_privilege('tripstream_writer', one.name, 'DELETE')
        ) THEN
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO tripstream_writer', one.name);
        ELSIF one.relkind = 'S' AND NOT has_sequence_privilege('tripstream_writer', one.name, 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SEQUENCE %s TO tripstream_writer', one.name);
        END IF;
    END LOOP;
END $$;
DO $$
DECLARE
    one regprocedure;
BEGIN
    FOR one IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND proname IN (
            'ensure_month', 'ensure_request_month', 'emit_platform_event', 'write_platform_event',
            'get_pending_events', 'mark_event_processed')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', one);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO tripstream_writer', one);
    END LOOP;
END $$;

-- The reader: what is on this list. A later migration that makes a table which it should see adds the table here.
DO $$
DECLARE
    readable text;
BEGIN
    FOREACH readable IN ARRAY '{schema_version,sites,event_types,event_sources,batches,drained,accepted_mirror,users,
        identities,sessions,trip_interactions,rollup_hourly,daily_events,weekly_events,monthly_events,dirty_days,clock_ticks,
        texts,events,continents,countries,companies,guides,trip_types,tags,trip_templates,trip_template_countries,
        trip_template_tags,trip_occurrences,catalogue_changes,recommendation_requests,recommendation_daily,
        evaluation_scenarios,event_schemas,schema_warnings,daily_stats,daily_user_stats,daily_group_stats,
        daily_click_targets,daily_page_stats,daily_dimensions,daily_trips,daily_sessions,rolled_up,floors}'::text[]
    LOOP
        IF to_regclass('public.' || readable) IS NOT NULL  -- an upgrade to an earlier version has not all of them
            AND NOT has_table_privilege('tripstream_reader', to_regclass('public.' || readable), 'SELECT')
        THEN
            EXECUTE format('GRANT SELECT ON public.%I TO tripstream_reader', readable);
        END IF;
    END LOOP;
END $$;

-- Of marked identities how many wait or failed, not whose they are.
DO $$
BEGIN
    IF to_regclass('public.dirty_identities') IS NOT NULL
        AND NOT has_column_privilege('tripstream_reader', 'public.dirty_identities', 'failed_at', 'SELECT')
    THEN
        GRANT SELECT (failed_at) ON public.dirty_identities TO tripstream_reader;
    END IF;
END $$;

-- Of the outbox how much waits, not what is in it.
DO $$
BEGIN
    IF to_regclass('public.event_outbox') IS NOT NULL
        AND NOT has_column_privilege('tripstream_reader', 'public.event_outbox', 'processing_status', 'SELECT')
    THEN
        GRANT SELECT (processing_status, created_at) ON public.event_outbox TO tripstream_reader;
    END IF;
END $$;
