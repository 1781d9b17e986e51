-- What the recommender is held to: see recommender/scenarios.py.

-- name: scenarios
-- Active ones, of one category or (null) of all, in the order in which they were added.
SELECT scenario_id, name, category, preferences, trips, expected
FROM evaluation_scenarios
WHERE is_active AND (%(category)s::text IS NULL OR category = %(category)s::text)
ORDER BY scenario_id
