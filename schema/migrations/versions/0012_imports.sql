-- History that was brought from elsewhere: which file, what became of it, and, where it came as events, in which batches;
-- where it came as days, which the site's first days that could change were before.
CREATE TABLE imports (
    import_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id text NOT NULL REFERENCES sites ON DELETE CASCADE,
    source text NOT NULL CHECK (source IN ('umami', 'plausible')),
    file_name text NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    rows bigint NOT NULL,
    floor_before date,
    began_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    undone_at timestamptz
);
CREATE UNIQUE INDEX imports_once ON imports (site_id, digest) WHERE undone_at IS NULL;

CREATE TABLE import_batches (
    batch_id uuid PRIMARY KEY,
    import_id integer NOT NULL REFERENCES imports ON DELETE CASCADE
);
CREATE INDEX import_batches_import ON import_batches (import_id);
