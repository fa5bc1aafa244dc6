-- Records how far running streams have come; a report that a later one overtook changes nothing.
-- Returns each reservation as it now stands, NULL for an unknown one.
--
-- reports: [{place, session_id, user_id, tokens_generated}]
--
-- It takes no account's lock: it moves no credits. Locked in one order, two lists can't wait for
-- one another.
CREATE FUNCTION report_progress(reports jsonb, moment timestamptz)
RETURNS TABLE (place integer, reservation reservations)
LANGUAGE plpgsql AS $$
DECLARE
    report record;
BEGIN
    FOR report IN
        SELECT * FROM jsonb_to_recordset(reports) AS r(
            place integer, session_id text, user_id text, tokens_generated bigint)
        ORDER BY r.user_id COLLATE "C", r.session_id COLLATE "C"
    LOOP
        place := report.place;
        UPDATE reservations r SET
            tokens_generated = greatest(r.tokens_generated, report.tokens_generated),
            progress_at = moment
        WHERE r.user_id = report.user_id AND r.session_id = report.session_id
            AND r.status = 'active'
        RETURNING r.* INTO reservation;
        IF NOT FOUND THEN
            SELECT r.* INTO reservation FROM reservations r
            WHERE r.user_id = report.user_id AND r.session_id = report.session_id;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$
