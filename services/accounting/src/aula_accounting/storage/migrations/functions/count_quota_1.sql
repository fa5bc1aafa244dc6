-- Counts what a person used ({metric: amount}) on that UTC day.
CREATE FUNCTION count_quota(
    holder text, holder_tier text, holder_teams text[], moment timestamptz, amounts jsonb
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO quota_days AS d
        (user_id, day, sessions, messages, tokens, compute_seconds, credits)
    VALUES (
        holder, (moment AT TIME ZONE 'UTC')::date,
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
        credits = d.credits + excluded.credits
$$
