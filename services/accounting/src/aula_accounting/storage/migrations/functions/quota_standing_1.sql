-- How far a person's quotas are used: for each metric and period the tightest of those that apply
-- (to the person, to his tier, to one of his teams), with what he used of it. Days are UTC days, a
-- month is the sum of its days.
CREATE FUNCTION quota_standing(
    holder text, holder_tier text, holder_teams text[], moment timestamptz
) RETURNS TABLE (metric text, period text, quantity bigint, used bigint)
LANGUAGE sql STABLE AS $$
    WITH tightest AS (
        SELECT q.metric, q.period, min(q.quantity) AS quantity FROM quotas q
        WHERE (q.scope = 'user' AND q.subject_id = holder)
            OR (q.scope = 'tier' AND q.subject_id = holder_tier)
            OR (q.scope = 'team' AND q.subject_id = ANY (holder_teams))
        GROUP BY q.metric, q.period
    ), today AS (
        SELECT (moment AT TIME ZONE 'UTC')::date AS day
    ), spent AS (
        SELECT d.day, v.metric, v.amount
        FROM today
        JOIN quota_days d ON d.user_id = holder
            AND d.day BETWEEN date_trunc('month', today.day::timestamp)::date AND today.day
        CROSS JOIN LATERAL (VALUES
            ('sessions', d.sessions), ('messages', d.messages), ('tokens', d.tokens),
            ('computeSeconds', d.compute_seconds), ('credits', d.credits)
        ) AS v(metric, amount)
    )
    SELECT t.metric, t.period, t.quantity, coalesce(sum(s.amount), 0)::bigint
    FROM tightest t
    CROSS JOIN today
    LEFT JOIN spent s ON s.metric = t.metric AND (t.period = 'month' OR s.day = today.day)
    GROUP BY t.metric, t.period, t.quantity
$$
