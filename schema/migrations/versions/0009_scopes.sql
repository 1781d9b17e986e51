-- Whose pages are whose: a person, by the verified id of their token, reads the figures of these codes of a site.
CREATE TABLE site_owners (
    site_id text NOT NULL REFERENCES sites,
    owner_code text NOT NULL CHECK (owner_code <> ''),
    auth_user_id text NOT NULL CHECK (auth_user_id <> ''),
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, auth_user_id, owner_code)
);
CREATE INDEX site_owners_user ON site_owners (auth_user_id);

-- Puts row-level security on one table that has a site_id, or on one partition; whatever is right already stays. A reader
-- sees the rows of app.site_id. Somebody who owns pages reads in another role: of those rows the ones of the owner codes
-- that are app.auth_user_id's, where the table has codes; none where it has not, but for what a site's owners share. One
-- policy with an OR for both hid from the planner how many rows there are, and indexes on codes from owners. Both settings
-- are texts: '' is unset, and then nothing is seen. The comparison stands bare: it is leak-proof and stable, so that
-- indexes serve it. Owner and writer see everything, the monitor the columns that it was granted.
CREATE FUNCTION secure_table(which regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    of_site text := $q$site_id = NULLIF(current_setting('app.site_id', true), '')$q$;
    of_person text := $q$auth_user_id = NULLIF(current_setting('app.auth_user_id', true), '')$q$;
    has_codes boolean := EXISTS (SELECT FROM pg_attribute WHERE attrelid = which AND attname = 'owner_code' AND NOT attisdropped);
    is_entries boolean := which = 'site_owners'::regclass;
    is_shared boolean := which = ANY ('{sites,site_zones,texts,dirty_hours,dirty_days}'::regclass[]);
    own text := CASE
        WHEN is_shared THEN of_site
        WHEN is_entries THEN format('%s AND %s', of_site, of_person)
        WHEN has_codes THEN format('%1$s AND owner_code = ANY (ARRAY(SELECT o.owner_code FROM public.site_owners AS o '
                                   'WHERE o.%1$s AND o.%2$s))', of_site, of_person) END;
    one record;
BEGIN
    IF EXISTS (SELECT FROM pg_class WHERE oid = which AND NOT (relrowsecurity AND relforcerowsecurity)) THEN
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', which);
    END IF;
    FOR one IN
        SELECT *, ARRAY(SELECT oid FROM pg_roles WHERE rolname = role) AS roles
        FROM (SELECT 'owner_all', pg_get_userbyid(relowner), 'ALL', 'true' FROM pg_class WHERE oid = which
              UNION ALL VALUES
                  ('writer_all', 'tripstream_writer', 'ALL', 'true'),
                  ('monitor_all', 'tripstream_monitor', 'SELECT', 'true'),
                  ('reader_site', 'tripstream_reader', 'SELECT', CASE WHEN NOT is_entries THEN of_site END),
                  ('own_site', 'tripstream_owner_reader', 'SELECT', CASE WHEN is_shared THEN own END),
                  ('own_codes', 'tripstream_owner_reader', 'SELECT', CASE WHEN NOT is_shared THEN own END)
             ) AS wanted (name, role, command, condition)
    LOOP
        CONTINUE WHEN one.condition IS NOT NULL
            AND EXISTS (SELECT FROM pg_policy WHERE polrelid = which AND polname = one.name AND polroles = one.roles);
        IF EXISTS (SELECT FROM pg_policy WHERE polrelid = which AND polname = one.name) THEN
            EXECUTE format('DROP POLICY %I ON %s', one.name, which);
        END IF;
        IF one.condition IS NOT NULL THEN
            EXECUTE format('CREATE POLICY %I ON %s FOR %s TO %I USING (%s)',
                           one.name, which, one.command, one.role, one.condition);
        END IF;
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
