-- Applies a list of operations on streams, of all kinds and users, in one transaction and one round
-- trip. A refusal is a row, never an error.
--
-- reserves, settles, reports: as reserve_credits, settle_credits and report_progress take them, each
-- with its `kind` (reserve, finalize, abort, report) and a `place` that no other of them has.
--
-- Accounts are locked first, in the order of their users. A list of many waits for nobody: whose
-- account another transaction has locked is answered `busy`, so that one user can't keep the others
-- waiting, and no two lists can wait for one another. A `patient` list waits; it also opens the
-- account of a user who has none, which an impatient one leaves to it by answering `busy`.
CREATE FUNCTION apply_streaming(
    reserves jsonb, settles jsonb, reports jsonb,
    moment timestamptz, lease interval, running_limit integer, patient boolean
) RETURNS TABLE (place integer, outcome text, detail jsonb, reservation reservations)
LANGUAGE plpgsql
-- One user's rows, by an index, however few or many the planner believes there are.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    busy text[] := '{}';
BEGIN
    IF patient THEN
        -- Before any lock, in the one order that allocations keep too.
        INSERT INTO accounts (user_id, remaining, held, created_at)
        SELECT DISTINCT m.user_id COLLATE "C", 0, 0, moment
        FROM jsonb_to_recordset(reserves || settles) AS m(user_id text, kind text)
        WHERE m.kind IN ('reserve', 'abort')
        ORDER BY 1
        ON CONFLICT DO NOTHING;
    END IF;

    -- One after the other, in this order.
    IF patient THEN
        PERFORM 1 FROM (
            SELECT DISTINCT m.user_id COLLATE "C" AS user_id
            FROM jsonb_to_recordset(reserves || settles || reports) AS m(user_id text) ORDER BY 1
        ) u, LATERAL (SELECT FROM accounts a WHERE a.user_id = u.user_id FOR UPDATE) a;
    ELSE
        SELECT coalesce(array_agg(u.user_id), '{}') INTO busy
        FROM (
            SELECT m.user_id COLLATE "C" AS user_id, bool_or(m.kind IN ('reserve', 'abort')) AS opens
            FROM jsonb_to_recordset(reserves || settles || reports) AS m(user_id text, kind text)
            GROUP BY 1 ORDER BY 1
        ) u
        LEFT JOIN LATERAL (
            SELECT true AS locked FROM accounts a WHERE a.user_id = u.user_id
            FOR UPDATE SKIP LOCKED
        ) l ON true
        LEFT JOIN LATERAL (
            -- LIMIT: else the planner may read the accounts of everybody, once.
            SELECT true AS known FROM accounts a WHERE a.user_id = u.user_id LIMIT 1
        ) k ON l.locked IS NULL
        WHERE l.locked IS NULL AND (u.opens OR k.known);
    END IF;

    IF busy <> '{}' THEN
        RETURN QUERY
            SELECT m.place, 'busy', NULL::jsonb, NULL::reservations
            FROM jsonb_to_recordset(reserves || settles || reports) AS m(place integer, user_id text)
            WHERE m.user_id = ANY (busy);
        SELECT coalesce(jsonb_agg(m), '[]') INTO reserves
        FROM jsonb_array_elements(reserves) AS m WHERE m ->> 'user_id' <> ALL (busy);
        SELECT coalesce(jsonb_agg(m), '[]') INTO settles
        FROM jsonb_array_elements(settles) AS m WHERE m ->> 'user_id' <> ALL (busy);
        SELECT coalesce(jsonb_agg(m), '[]') INTO reports
        FROM jsonb_array_elements(reports) AS m WHERE m ->> 'user_id' <> ALL (busy);
    END IF;

    IF reserves <> '[]' THEN
        RETURN QUERY SELECT f.place, f.outcome, f.detail, f.reservation
        FROM reserve_credits(reserves, moment, lease, running_limit) AS f;
    END IF;
    IF settles <> '[]' THEN
        RETURN QUERY SELECT f.place, f.outcome, NULL::jsonb, f.reservation
        FROM settle_credits(settles, moment) AS f;
    END IF;
    IF reports <> '[]' THEN
        RETURN QUERY SELECT f.place, 'reported', NULL::jsonb, f.reservation
        FROM report_progress(reports, moment) AS f;
    END IF;
END
$$
