-- Counts what a person used ({metric: amount}) on that UTC day, and writes news of each quota that is
-- used up to four fifths, once for each period and limit (`told` holds which were told on that day).
CREATE FUNCTION count_quota(
    holder text, holder_tier text, holder_teams text[], moment timestamptz, amounts jsonb
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    today date := (moment AT TIME ZONE 'UTC')::date;
    near record;
BEGIN
    INSERT INTO quota_days AS d
        (user_id, day, sessions, messages, tokens, compute_seconds, credits)
    VALUES (
        holder, today,
        coalesce((amounts ->> 'sessions')::bigint, 0),
        coalesce((amounts ->> 'messages')::bigint, 0),
        coalesce((amounts ->> 'tokens')::bigint, 0),
        coalesce((amounts ->> 'computeSeconds')::bigint, 0),
        coalesce((amounts ->> 'credits')::bigint, 0))
    ON CONFLICT (user_id, day) DO UPDATE SET
        sessions = d.sessions + excluded.sessions,
        messages = d.messages + excluded.messages,
        tokens = d.tokens + excluded.tokens,
        compute_seconds = d.compute_seconds + excluded.compute_seconds,
        credits = d.credits + excluded.credits;

    FOR near IN
        SELECT s.*, concat_ws('.', s.metric, s.period, s.quantity) AS mark
        FROM quota_standing(holder, holder_tier, holder_teams, moment) s
        WHERE s.used > 0 AND 5 * s.used >= 4 * s.quantity AND NOT EXISTS (
            SELECT FROM quota_days d
            WHERE d.user_id = holder
                AND d.day BETWEEN date_trunc(s.period, today::timestamp)::date AND today
                AND concat_ws('.', s.metric, s.period, s.quantity) = ANY (d.told))
        ORDER BY s.metric, s.period
    LOOP
        UPDATE quota_days d SET told = d.told || near.mark
        WHERE d.user_id = holder AND d.day = today;
        INSERT INTO outbox (user_id, type, at, data)
        VALUES (holder, 'quota.near', moment, jsonb_build_object(
            'metric', near.metric, 'period', near.period, 'limit', near.quantity,
            'used', near.used));
    END LOOP;
END
$$
