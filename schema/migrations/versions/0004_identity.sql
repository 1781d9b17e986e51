-- Links of visitors to registered users. `auth` is the verified id that a link is of; '' for what a row says of itself.
--   anonymous  from valid_from on the visitor is that registered user; the row at -infinity is the visitor's own user,
--              and counts only while there is no other
--   auth       the registered id's user: own_user_id where a verified email joined it to another's; first_at is the time
--              of the earliest verified event of it, with or without an email
--   email      the registered id had this verified email, first at valid_from
ALTER TABLE identities
    ADD COLUMN auth text NOT NULL DEFAULT '',
    ADD COLUMN own_user_id bigint,
    ADD COLUMN first_at timestamptz,
    ADD COLUMN undone_at timestamptz;
ALTER TABLE identities
    DROP CONSTRAINT identities_pkey,
    ADD PRIMARY KEY (site_id, kind, value, valid_from, auth);
CREATE INDEX identities_of ON identities (site_id, auth) WHERE auth <> '';

-- Who linked what, and who it was before. Never changed: it also says which facts an unlink has made void.
CREATE TABLE identity_changes (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id text NOT NULL,
    kind text NOT NULL,
    value text NOT NULL,
    auth text NOT NULL DEFAULT '',
    action text NOT NULL CHECK (action IN ('linked', 'joined', 'unlinked', 'reclassified')),
    valid_from timestamptz,
    user_id bigint NOT NULL,
    user_before bigint,
    changed_by text NOT NULL,
    event_id uuid,
    batch_id uuid,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX identity_changes_value ON identity_changes (site_id, kind, value);
CREATE INDEX identity_changes_of ON identity_changes (site_id, auth) WHERE auth <> '';

-- Identities whose rows the mover has to look at, in line: append-only, like dirty_hours. Only the mover deletes. What it
-- could not do stands in line again, with the error.
CREATE TABLE dirty_identities (
    mark_id bigint GENERATED ALWAYS AS IDENTITY,
    site_id text NOT NULL,
    kind text NOT NULL,
    value text NOT NULL,
    failed_at timestamptz,
    error text,
    PRIMARY KEY (site_id, mark_id)
);

-- Whose a visitor's events are, from one moment to the next: the latest link at or before, else the earliest.
CREATE VIEW identity_spans WITH (security_invoker) AS
SELECT site_id, value, user_id,
    CASE WHEN row_number() OVER w = 1 THEN '-infinity' ELSE valid_from END AS starts,
    coalesce(lead(valid_from) OVER w, 'infinity') AS ends
FROM (
    SELECT site_id, value, user_id, valid_from, auth, max(valid_from) OVER (PARTITION BY site_id, value) AS newest
    FROM identities WHERE kind = 'anonymous' AND undone_at IS NULL
) AS links
WHERE valid_from > '-infinity' OR newest = '-infinity'
WINDOW w AS (PARTITION BY site_id, value ORDER BY valid_from, auth COLLATE "C");

-- Every user that an identity stands for or ever stood for: where the mover finds its events.
CREATE VIEW identity_users WITH (security_invoker) AS
SELECT site_id, kind, value, user_id FROM identities
UNION ALL
SELECT site_id, kind, value, own_user_id FROM identities WHERE own_user_id IS NOT NULL
UNION ALL
SELECT site_id, kind, value, user_before FROM identity_changes WHERE user_before IS NOT NULL;
