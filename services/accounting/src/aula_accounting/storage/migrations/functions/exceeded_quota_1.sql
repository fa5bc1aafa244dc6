-- Whether a person's quotas leave room for what is wanted ({metric: amount}; 0 wants nothing).
-- NULL if no quota applies to him at all, {} if there is room, else the quota that is in the way
-- the longest. Hold the account's lock between this and count_quota.
CREATE FUNCTION exceeded_quota(
    holder text, holder_tier text, holder_teams text[], moment timestamptz, wanted jsonb
) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN count(*) > 0 THEN coalesce(
        (array_agg(
            jsonb_build_object(
                'metric', s.metric, 'period', s.period, 'limit', s.quantity, 'used', s.used,
                'moment', moment)
            ORDER BY s.period DESC, s.metric
        ) FILTER (
            WHERE (wanted ->> s.metric)::bigint > 0
                AND s.used + (wanted ->> s.metric)::bigint > s.quantity
        ))[1],
        '{}'
    ) END
    FROM quota_standing(holder, holder_tier, holder_teams, moment) s
$$
