-- Indexes that the numbers of a guild are counted over: licenses by what they are, and events by their day. The same stand in
-- sqlite/0009_analytics.sql.
-- While they are built the read models wait and nothing else does: readers go on, and what is asked for meanwhile comes from
-- the log.

CREATE INDEX license_view_counts_0 ON license_view (guild_id, license_type, stage, holds, expires_at, grace_ms);
CREATE INDEX audit_trail_day_0 ON audit_trail (guild_id, event_type, recorded_at);
