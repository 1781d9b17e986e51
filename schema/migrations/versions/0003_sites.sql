-- Keys of three roles that can end: at an hour set when they are rotated, or when they are revoked. What identifies a
-- key to people is its number and its last four characters.
ALTER TABLE site_keys
    ADD COLUMN key_id integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD COLUMN hint text,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN ends_at timestamptz GENERATED ALWAYS AS (least(expires_at, revoked_at)) STORED,
    DROP CONSTRAINT site_keys_role_check,
    ADD CONSTRAINT site_keys_role_check CHECK (role IN ('write', 'read', 'admin'));

-- What the SDKs of other vendors send by themselves, so that strict sites take it.
INSERT INTO event_types (event_type, category, retention, seeded)
SELECT unnest('{group,alias}'::text[]), 'user_activity', '2 years', true
ON CONFLICT (event_type) DO UPDATE SET seeded = true;

-- A site's own limits; null: the setting's, 0: none (of a burst: ten seconds' worth).
ALTER TABLE sites
    ADD COLUMN key_rate integer CHECK (key_rate >= 0),
    ADD COLUMN key_burst integer CHECK (key_burst >= 0),
    ADD COLUMN address_rate integer CHECK (address_rate >= 0),
    ADD COLUMN address_burst integer CHECK (address_burst >= 0);
