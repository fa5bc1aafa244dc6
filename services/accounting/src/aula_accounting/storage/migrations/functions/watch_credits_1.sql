-- Writes news when a user's credits, held ones included, fall below a tenth of what they were when he
-- was last given some; once, until he is given some again.
CREATE FUNCTION watch_credits() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bigint := OLD.remaining + OLD.held;
    after bigint := NEW.remaining + NEW.held;
BEGIN
    IF after > before THEN
        NEW.low_below := (after + 9) / 10;
    ELSE
        INSERT INTO outbox (user_id, type, at, data)
        VALUES (NEW.user_id, 'credits.low', statement_timestamp(), jsonb_build_object(
            'available', NEW.remaining, 'held', NEW.held, 'threshold', NEW.low_below));
        NEW.low_below := 0;
    END IF;
    RETURN NEW;
END
$$
