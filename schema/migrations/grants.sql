-- Roles and what they may do. Runs after every migration and whenever there is none: a dump carries no roles, and a
-- database restored on another server has none of this. Changes nothing where nothing is missing.

-- The owner migrates; the writer drains and rolls up; the reader answers questions about one site, the owner's reader
-- about one owner's pages in it; the monitor counts, of all sites.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY '{tripstream_writer,tripstream_reader,tripstream_owner_reader,tripstream_monitor}'::text[] LOOP
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

-- The readers: what is on this list. A later migration that makes a table which it should see adds the table here.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT to_regclass('public.' || name) AS name, role FROM unnest(
        '{site_owners,dirty_hours,schema_version,sites,event_types,event_sources,batches,drained,accepted_mirror,users,
        identities,sessions,trip_interactions,rollup_hourly,daily_events,weekly_events,monthly_events,dirty_days,clock_ticks,
        dirty_recommendation_days,texts,events,continents,countries,companies,guides,trip_types,tags,trip_templates,trip_template_countries,
        trip_template_tags,trip_occurrences,catalogue_changes,recommendation_requests,recommendation_daily,
        evaluation_scenarios,event_schemas,schema_warnings,site_zones,daily_stats,daily_user_stats,daily_group_stats,
        daily_click_targets,daily_page_stats,daily_dimensions,weekly_dimensions,daily_trips,month_to_date_trips,
        readable_daily_trips,daily_walks,daily_steps,daily_sessions,hourly_stats,rolled_up,floors}'::text[]
    ) AS listed (name), unnest('{tripstream_reader,tripstream_owner_reader}'::text[]) AS readers (role)
    LOOP
        IF one.name IS NOT NULL  -- an upgrade to an earlier version has not all of them
            AND NOT has_table_privilege(one.role, one.name, 'SELECT')
        THEN
            EXECUTE format('GRANT SELECT ON %s TO %I', one.name, one.role);
        END IF;
    END LOOP;
END $$;

-- Of these some columns: of all sites' figures what operators watch, of user agents what they are. Dead letters show a
-- reader of the site what it sent, as events do, but not from where it came and by whose token; to owners, nothing.
DO $$
DECLARE
    one record;
    wanted text;
BEGIN
    FOR one IN
        SELECT role, to_regclass('public.' || name) AS name, columns FROM (VALUES
            ('reader', 'user_agents', 'user_agent_id,browser,os,device_type,is_bot,bot_reason'),
            ('owner_reader', 'user_agents', 'user_agent_id,browser,os,device_type,is_bot,bot_reason'),
            ('reader', 'dead_letters', 'dead_letter_id,site_id,batch_id,place,event_id,events,received_at,raw,reason,sqlstate,state,created_at,patched_at,resolved_at'),
            ('monitor', 'schema_version', 'version_num'),
            ('monitor', 'sites', 'site_id'),
            ('monitor', 'drained', 'site_id,lane,batches,stored,duplicate,dead,discarded,seconds,transactions,updated_at'),
            ('monitor', 'accepted_mirror', 'site_id,accepted'),
            ('monitor', 'batches', 'batch_id,stored'),
            ('monitor', 'clock_ticks', 'chore,slot,enqueued_at,started_at,finished_at,error'),
            ('monitor', 'rollup_hourly', 'hour'),
            ('monitor', 'dirty_hours', 'site_id,hour'),
            ('monitor', 'dirty_days', 'site_id,date'),
            ('monitor', 'dirty_identities', 'failed_at'),
            ('monitor', 'event_outbox', 'processing_status,created_at'),
            ('monitor', 'recommendation_requests', 'site_id,requested_at,primary_count,relaxed_count'),
            ('monitor', 'schema_warnings', 'site_id,event_type,lane,warnings,last_reason,last_at'),
            ('monitor', 'rolled_up', 'as_of')
        ) AS granted (role, name, columns)
        WHERE to_regclass('public.' || name) IS NOT NULL
    LOOP
        FOREACH wanted IN ARRAY string_to_array(one.columns, ',') LOOP
            CONTINUE WHEN NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = one.name AND attname = wanted)
                OR has_column_privilege('tripstream_' || one.role, one.name, wanted, 'SELECT');
            EXECUTE format('GRANT SELECT (%I) ON %s TO %I', wanted, one.name, 'tripstream_' || one.role);
        END LOOP;
    END LOOP;
END $$;

-- Row-level security on whatever has a site_id, partitions too, also in later versions. A view sees what its reader sees.
DO $$
DECLARE
    one regclass;
BEGIN
    IF to_regprocedure('public.secure_table(regclass)') IS NULL THEN RETURN; END IF;
    FOR one IN
        SELECT c.oid FROM pg_class AS c JOIN pg_attribute ON attrelid = c.oid AND attname = 'site_id' AND NOT attisdropped
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname
    LOOP
        PERFORM public.secure_table(one);
    END LOOP;
    FOR one IN
        SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
            AND NOT coalesce(reloptions::text ~ 'security_invoker=(true|on|1)', false)
    LOOP
        EXECUTE format('ALTER VIEW %s SET (security_invoker = true)', one);
    END LOOP;
    REVOKE ALL ON FUNCTION public.secure_table, public.key_right, public.owned_sites FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION public.key_right, public.owned_sites TO tripstream_reader, tripstream_writer;
END $$;
