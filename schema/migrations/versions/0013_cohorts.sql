-- Rows come in nearly the order of these times, so that a few bytes a page find them; multi: one old row in a reused
-- page does not make the page's range everything.
CREATE INDEX sessions_started ON sessions USING brin (started_at timestamptz_minmax_multi_ops)
    WITH (autosummarize = on, pages_per_range = 32);
CREATE INDEX users_first_seen ON users USING brin (first_seen_at timestamptz_minmax_multi_ops)
    WITH (autosummarize = on, pages_per_range = 32);
