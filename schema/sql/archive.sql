-- Rows that are about to go, with the words that their ids stand for.

-- name: events
-- Staged events, by time.
SELECT e.occurred_at, t.event_type, e.category::text, e.site_id, e.event_id::text, e.session_id::text,
    e.anonymous_id::text, e.user_id, e.trip_id, e.recommendation_request_id::text, source.text AS source, e.position,
    e.score, nullif(coalesce(page.text, '') || coalesce(e.page_query, ''), '') AS page_url, path.text AS path,
    referrer.text AS referrer, device.text AS device_type, screen.text AS screen, a.user_agent, a.browser, a.os,
    e.is_bot, a.bot_reason, e.owner_code, e.share_code, e.contact_id, e.click_target, e.click_category, e.page_type,
    e.utm::text, e.metadata::text, e.schema_version, e.claimed_user, e.auth_user_id, e.user_role, e.user_tenure_days,
    e.ip_prefix::text, e.country, e.received_at, e.batch_id::text
FROM stage AS e
JOIN event_types AS t USING (event_type_id)
LEFT JOIN user_agents AS a USING (user_agent_id)
LEFT JOIN texts AS source ON source.text_id = e.source_id
LEFT JOIN texts AS page ON page.text_id = e.page_id
LEFT JOIN texts AS path ON path.text_id = e.path_id
LEFT JOIN texts AS referrer ON referrer.text_id = e.referrer_id
LEFT JOIN texts AS device ON device.text_id = e.device_type_id
LEFT JOIN texts AS screen ON screen.text_id = e.screen_id
ORDER BY e.occurred_at, e.event_id

-- name: requests
-- Staged requests for recommendations, by time.
SELECT requested_at, request_id::text, site_id, session_id::text, anonymous_id::text, preferences::text, filters,
    search_type, policy_id, policy_version, results::text, primary_count, relaxed_count, total_candidates, top_score,
    mean_score, min_score, response_time_us, asked.is_bot, a.user_agent
FROM asked LEFT JOIN user_agents AS a USING (user_agent_id)
ORDER BY requested_at, request_id
