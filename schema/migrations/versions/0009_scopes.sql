-- Whose pages are whose: a person, by the verified id of their token, reads the figures of these codes of a site.
CREATE TABLE site_owners (
    site_id text NOT NULL REFERENCES sites,
    owner_code text NOT NULL CHECK (owner_code <> ''),
    auth_user_id text NOT NULL CHECK (auth_user_id <> ''),
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, auth_user_id, owner_code)
);
CREATE INDEX site_owners_user ON site_owners (auth_user_id);

-- Puts row-level security on one table that has a site_id, or on one partition; whatever is right already stays. The
-- reader's rows are those of app.site_id; while app.auth_user_id is set, of them those of that person's owner codes, and
-- none where the table has no owner codes, but for what a site's owners share. Both settings are texts: '' is unset, and
-- then nothing is seen. The reader's policy is named after its rule, so that a table which gets owner codes later gets the
-- other policy. Owner and writer see everything, the monitor what it was granted. The first comparison stands bare: it is
-- leak-proof and stable, so that indexes serve it, which (SELECT …) in its place would hide from the planner's estimates.
CREATE FUNCTION secure_table(which regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    of_site text := $q$site_id = NULLIF(current_setting('app.site_id', true), '')$q$;
    person text := $q$NULLIF(current_setting('app.auth_user_id', true), '')$q$;
    has_codes boolean := EXISTS (SELECT FROM pg_attribute WHERE attrelid = which AND attname = 'owner_code' AND NOT attisdropped);
    is_shared boolean := which = ANY ('{sites,texts,dirty_hours,dirty_days}'::regclass[]);
    rule text := CASE WHEN which = 'site_owners'::regclass THEN 'own_entries' WHEN is_shared THEN 'own_site'
                      WHEN has_codes THEN 'own_codes' ELSE 'whole_site' END;
    seen text := of_site || CASE rule
        WHEN 'own_entries' THEN format(' AND auth_user_id = %s', person)
        WHEN 'own_site' THEN ''
        WHEN 'own_codes' THEN format(' AND ((SELECT %1$s) IS NULL OR owner_code IN (SELECT o.owner_code '
            'FROM public.site_owners AS o WHERE o.%2$s AND o.auth_user_id = %1$s))', person, of_site)
        ELSE format(' AND %s IS NULL', person) END;
    one record;
BEGIN
    IF EXISTS (SELECT FROM pg_class WHERE oid = which AND NOT (relrowsecurity AND relforcerowsecurity)) THEN
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', which);
    END IF;
    FOR one IN
        SELECT *, ARRAY(SELECT oid FROM pg_roles WHERE rolname = role) AS roles
        FROM (SELECT 'owner_all', pg_get_userbyid(relowner), 'ALL', 'true' FROM pg_class WHERE oid = which
              UNION ALL VALUES ('writer_all', 'tripstream_writer', 'ALL', 'true'),
                               ('monitor_all', 'tripstream_monitor', 'SELECT', 'true'),
                               (rule, 'tripstream_reader', 'SELECT', seen)) AS wanted (name, role, command, condition)
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_policy WHERE polrelid = which AND polname = one.name AND polroles = one.roles);
        EXECUTE format('DROP POLICY IF EXISTS %I ON %s', one.name, which);
        EXECUTE format('CREATE POLICY %I ON %s FOR %s TO %I USING (%s)', one.name, which, one.command, one.role, one.condition);
    END LOOP;
    FOR one IN
        SELECT polname FROM pg_policy WHERE polrelid = which AND polname <> rule
            AND polname IN ('own_entries', 'own_site', 'own_codes', 'whole_site')
    LOOP
        EXECUTE format('DROP POLICY %I ON %s', one.polname, which);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION secure_table FROM PUBLIC;

-- A new month is secured before it is attached, by whoever made it.
CREATE OR REPLACE FUNCTION ensure_month(for_category event_category, month date) RETURNS void
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
    PERFORM secure_table(format('public.%I', part)::regclass);
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', parent, part,
                   starts::timestamp AT TIME ZONE 'UTC', (starts + interval '1 month')::timestamp AT TIME ZONE 'UTC');
END $$;

CREATE OR REPLACE FUNCTION ensure_request_month(on_date date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    starts date := date_trunc('month', on_date);
    part text := format('recommendation_requests_%s', to_char(starts, 'YYYY_MM'));
BEGIN
    IF to_regclass(format('public.%I', part)) IS NOT NULL THEN RETURN; END IF;
    PERFORM pg_advisory_xact_lock(hashtext('tripstream.ensure_month'));
    IF EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace) THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.recommendation_requests INCLUDING ALL)', part);
    PERFORM secure_table(format('public.%I', part)::regclass);
    EXECUTE format('ALTER TABLE public.recommendation_requests ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   part, starts::timestamp AT TIME ZONE 'UTC', (starts + interval '1 month')::timestamp AT TIME ZONE 'UTC');
END $$;

-- What a key is good for, and in which sites a person owns pages: asked before it is known whose rows may be read, by a
-- reader that sees neither keys nor other people's entries.
CREATE FUNCTION key_right(hash bytea) RETURNS TABLE (site_id text, role text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    SELECT k.site_id, k.role FROM site_keys AS k WHERE k.key_hash = hash AND coalesce(k.ends_at > now(), true);
END;
CREATE FUNCTION owned_sites(of_user text) RETURNS TABLE (site_id text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    SELECT DISTINCT o.site_id FROM site_owners AS o WHERE o.auth_user_id = of_user ORDER BY 1;
END;
REVOKE ALL ON FUNCTION key_right FROM PUBLIC;
REVOKE ALL ON FUNCTION owned_sites FROM PUBLIC;

-- What the reader was granted across sites is the monitor's from now on.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tripstream_reader') THEN
        REVOKE ALL ON dirty_identities, event_outbox FROM tripstream_reader;
        REVOKE ALL (failed_at) ON dirty_identities FROM tripstream_reader;
        REVOKE ALL (processing_status, created_at) ON event_outbox FROM tripstream_reader;
    END IF;
END $$;
