-- Requests to erase a person, and what was done: each is its own receipt. `subject` says who it is, and is emptied when
-- nothing is left to do; the rest names nobody.
CREATE TABLE erasures (
    erasure_id uuid PRIMARY KEY,
    site_id text NOT NULL REFERENCES sites,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    requested_by text NOT NULL,
    named_by text NOT NULL CHECK (named_by IN ('user', 'anonymous_id', 'email')),
    subject jsonb,
    state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'erased', 'incomplete', 'done', 'refused')),
    erased_at timestamptz,  -- what happened before it is discarded, whenever it comes
    tried_at timestamptz,
    finished_at timestamptz,
    counts jsonb NOT NULL DEFAULT '{}',
    remaining jsonb NOT NULL DEFAULT '{}',
    note text
);
CREATE INDEX erasures_due ON erasures (requested_at) WHERE state IN ('requested', 'erased', 'incomplete');

-- What the drain discards: events of an erased person that happened until then. Salted digests of ids, not ids.
CREATE TABLE tombstones (
    tombstone_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id text NOT NULL,
    erasure_id uuid NOT NULL,
    salt bytea NOT NULL,
    digest bytea NOT NULL,
    until timestamptz NOT NULL,
    UNIQUE (erasure_id, digest)
);

-- Another id in place of one, always the same while the erasure's secret is there, and nobody's when it is not.
CREATE FUNCTION pseudonym(secret text, kind text, value text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN left(encode(sha256(convert_to(secret || ' ' || kind || ' ' || value, 'UTF8')), 'hex'), 32)::uuid;

-- What of an event's metadata says nothing of a person: sums of money, as the books need them, and durations.
CREATE FUNCTION impersonal(metadata jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF jsonb_typeof(metadata) IS DISTINCT FROM 'object' THEN RETURN NULL; END IF;
    RETURN (
        SELECT jsonb_object_agg(key, kept)
        FROM jsonb_each(metadata)
        CROSS JOIN LATERAL (SELECT CASE
            WHEN jsonb_typeof(value) = 'object' THEN impersonal(value)
            WHEN key = 'currency' AND value #>> '{}' ~ '^[A-Za-z]{3}$' THEN value
            WHEN jsonb_typeof(value) = 'number' AND key IN (
                'amount', 'amount_cents', 'amount_minor', 'price', 'unit_price', 'total', 'subtotal', 'tax', 'vat', 'fee',
                'discount', 'refund', 'revenue', 'value', 'quantity', 'duration_seconds') THEN value
        END) AS k (kept)
        WHERE kept IS NOT NULL);
END $$;

-- Whether Sec-GPC and DNT are heeded: honour refuses what such a browser sends.
ALTER TABLE sites ADD COLUMN signals text NOT NULL DEFAULT 'ignore' CHECK (signals IN ('ignore', 'honour'));
