-- User agents: the device they run on, and which version of the rules judged them; null: those of before this table knew.
ALTER TABLE user_agents ADD COLUMN device_type text, ADD COLUMN rules_version text;
CREATE INDEX user_agents_rules ON user_agents (rules_version);

-- Who asked for recommendations, so that a robot found out later can be told from people in them too.
ALTER TABLE recommendation_requests ADD COLUMN user_agent_id integer;

-- Nobody wrote it before this version. Two bytes are 89 years, and an event in four was 8 bytes longer with four.
ALTER TABLE events ALTER COLUMN user_tenure_days TYPE smallint;

CREATE OR REPLACE VIEW readable_events WITH (security_invoker) AS
SELECT e.occurred_at, t.event_type, e.category, e.site_id, e.event_id, e.session_id, e.anonymous_id, e.user_id, e.trip_id,
    e.recommendation_request_id, source.text AS source, e.position, e.score, nullif(coalesce(page.text, '') || coalesce(e.page_query, ''), '') AS page_url,
    path.text AS path, referrer.text AS referrer, device.text AS device_type, screen.text AS screen, a.user_agent,
    a.browser, a.os, e.is_bot, a.bot_reason, e.owner_code, e.share_code, e.contact_id, e.click_target, e.click_category,
    e.page_type, e.utm, e.metadata, e.schema_version, e.claimed_user, e.auth_user_id, e.ip_prefix, e.country,
    e.received_at, e.batch_id, e.user_role, e.user_tenure_days
FROM events AS e
JOIN event_types AS t USING (event_type_id)
LEFT JOIN user_agents AS a USING (user_agent_id)
LEFT JOIN texts AS source ON source.text_id = e.source_id
LEFT JOIN texts AS page ON page.text_id = e.page_id
LEFT JOIN texts AS path ON path.text_id = e.path_id
LEFT JOIN texts AS referrer ON referrer.text_id = e.referrer_id
LEFT JOIN texts AS device ON device.text_id = e.device_type_id
LEFT JOIN texts AS screen ON screen.text_id = e.screen_id;
