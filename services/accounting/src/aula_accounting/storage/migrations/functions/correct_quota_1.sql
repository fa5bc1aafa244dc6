-- Once a reservation is settled, what it used takes the place of what was counted at its start, on
-- the day of its start. A message of which nothing was shown is not counted.
CREATE FUNCTION correct_quota() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    shown bigint := NEW.used_output_tokens + NEW.used_unsplit_tokens;
BEGIN
    UPDATE quota_days d SET
        messages = d.messages
            - CASE WHEN shown = 0 THEN (NEW.counted ->> 'messages')::bigint ELSE 0 END,
        tokens = d.tokens - (NEW.counted ->> 'tokens')::bigint + NEW.used_input_tokens + shown,
        credits = d.credits - (NEW.counted ->> 'credits')::bigint + NEW.charged,
        compute_seconds = d.compute_seconds + ceil(coalesce(NEW.duration_ms, 0) / 1000.0)::bigint
    WHERE d.user_id = NEW.user_id AND d.day = (NEW.started_at AT TIME ZONE 'UTC')::date;
    RETURN NULL;
END
$$
