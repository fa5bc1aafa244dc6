-- Settles a list of reservations, in the order of their users; a single call is a list of one.
-- finalize, abort and sweep all end here: whoever comes first settles, the others get what he
-- settled. A refusal is a row, never an error.
--
-- requests: [{place, kind (finalize, abort or sweep), session_id, user_id, actor_id, status,
-- model_id, input_tokens, output_tokens, unsplit_tokens, duration_ms, reason, error}]
--
-- Usage that is not known (input_tokens NULL) is the reserved input and what was shown, and
-- nothing if nothing was shown; a sweep takes the last reported progress for what was shown.
CREATE FUNCTION settle_credits(requests jsonb, moment timestamptz)
RETURNS TABLE (place integer, outcome text, reservation reservations)
LANGUAGE plpgsql AS $$
DECLARE
    holder record;
    request record;
    rate jsonb;
    used_input bigint;
    used_output bigint;
    price bigint;
    charge bigint;
    refund bigint;
    lapse bigint;
BEGIN
    -- One by one: joined to the list, a planner may prefer to read the accounts of everybody.
    FOR holder IN
        SELECT r.user_id COLLATE "C" AS user_id, bool_or(r.kind = 'abort') AS aborts
        FROM jsonb_to_recordset(requests) AS r(user_id text, kind text) GROUP BY 1 ORDER BY 1
    LOOP
        PERFORM 1 FROM accounts a WHERE a.user_id = holder.user_id FOR UPDATE;
        IF NOT FOUND AND holder.aborts THEN  -- a tombstone needs an account too
            INSERT INTO accounts (user_id, remaining, held, created_at)
            VALUES (holder.user_id, 0, 0, moment) ON CONFLICT DO NOTHING;
            PERFORM 1 FROM accounts a WHERE a.user_id = holder.user_id FOR UPDATE;
        END IF;
    END LOOP;

    FOR request IN
        SELECT * FROM jsonb_to_recordset(requests) AS r(
            place integer, kind text, session_id text, user_id text, actor_id text, status text,
            model_id text, input_tokens bigint, output_tokens bigint, unsplit_tokens bigint,
            duration_ms bigint, reason text, error text)
        ORDER BY r.user_id COLLATE "C", r.place
    LOOP
        place := request.place;

        IF request.kind = 'abort' THEN
            -- A tombstone, unless there is something to settle: it refuses a late reserve.
            INSERT INTO reservations (
                user_id, session_id, status, tombstone, service_id, rates, input_tokens,
                max_output_tokens, estimated, reserved, source_ids, source_amounts, started_at,
                lease_expires_at, tokens_generated, settled_at, settled_by, used_input_tokens,
                used_output_tokens, used_unsplit_tokens, charged, lapsed, overrun, reason, error)
            VALUES (
                request.user_id, request.session_id, request.status, true, request.actor_id, '{}',
                0, 0, 0, 0, '{}', '{}', moment, moment, 0, moment, request.actor_id, 0, 0, 0, 0, 0,
                0, request.reason, request.error)
            ON CONFLICT DO NOTHING
            RETURNING * INTO reservation;
            IF FOUND THEN
                INSERT INTO ledger_entries
                    (user_id, kind, amount, session_id, actor_id, recorded_at)
                VALUES (request.user_id, 'settle', 0, request.session_id, request.actor_id, moment);
                outcome := 'settled';
                RETURN NEXT;
                CONTINUE;
            END IF;
        END IF;

        SELECT r.* INTO reservation FROM reservations r
        WHERE r.user_id = request.user_id AND r.session_id = request.session_id
        FOR UPDATE;  -- a heartbeat takes this lock alone
        outcome := CASE
            WHEN NOT FOUND THEN 'unknown'
            WHEN reservation.status <> 'active' THEN 'already'
            WHEN request.kind = 'sweep' AND reservation.lease_expires_at > moment THEN 'not_due'
            WHEN NOT reservation.rates ? coalesce(request.model_id, reservation.model_id)
                THEN 'unpriced'
            ELSE 'settled' END;
        IF outcome <> 'settled' THEN
            RETURN NEXT;
            CONTINUE;
        END IF;

        rate := reservation.rates -> coalesce(request.model_id, reservation.model_id);
        used_output := CASE WHEN request.kind = 'sweep' THEN reservation.tokens_generated
                            ELSE request.output_tokens END;
        used_input := coalesce(request.input_tokens,
            CASE WHEN used_output = 0 THEN 0 ELSE reservation.input_tokens END);
        price := price_credits(used_input, used_output, request.unsplit_tokens,
            (rate ->> 'input')::numeric, (rate ->> 'output')::numeric);
        charge := least(price, reservation.reserved);

        -- What was taken last goes back first, and lapses where its allocation has ended.
        WITH split AS (
            SELECT s.id, s.amount, s.rank,
                   greatest(0, least(s.amount, charge - s.before))::bigint AS charged
            FROM (
                SELECT p.id, p.amount, p.rank, sum(p.amount) OVER (ORDER BY p.rank) - p.amount
                    AS before
                FROM unnest(reservation.source_ids, reservation.source_amounts)
                    WITH ORDINALITY AS p(id, amount, rank)
            ) s
        ), part AS (
            SELECT s.id, s.amount, s.rank, s.charged, s.amount - s.charged AS unused,
                   a.revoked_at IS NOT NULL OR a.expires_at <= moment AS ended
            FROM split s JOIN allocations a ON a.user_id = request.user_id AND a.id = s.id
        ), moved AS (
            UPDATE allocations a SET
                held = a.held - p.amount,
                charged = a.charged + p.charged,
                remaining = a.remaining + CASE WHEN p.ended IS TRUE THEN 0 ELSE p.unused END,
                lapsed = a.lapsed + CASE WHEN p.ended IS TRUE THEN p.unused ELSE 0 END
            FROM part p WHERE a.user_id = request.user_id AND a.id = p.id
        ), entered AS (
            INSERT INTO ledger_entries
                (user_id, kind, amount, allocation_id, session_id, actor_id, recorded_at)
            SELECT request.user_id, e.kind, e.amount, e.id, request.session_id, request.actor_id,
                   moment
            FROM (
                SELECT 'charge' AS kind, p.charged AS amount, p.id, p.rank FROM part p
                UNION ALL
                SELECT CASE WHEN p.ended IS TRUE THEN 'lapse' ELSE 'refund' END, p.unused, p.id,
                       1000000 - p.rank
                FROM part p
            ) e
            WHERE e.amount > 0 ORDER BY e.rank
        )
        SELECT coalesce(sum(p.unused) FILTER (WHERE p.ended IS NOT TRUE), 0),
               coalesce(sum(p.unused) FILTER (WHERE p.ended), 0)
        INTO refund, lapse
        FROM part p;

        UPDATE accounts a
        SET remaining = a.remaining + refund, held = a.held - reservation.reserved
        WHERE a.user_id = request.user_id;

        -- One terminal entry for each reservation: a second is refused by a unique index.
        INSERT INTO ledger_entries (user_id, kind, amount, session_id, actor_id, recorded_at)
        VALUES (
            request.user_id, 'settle', charge, request.session_id, request.actor_id, moment);

        UPDATE reservations r SET
            status = request.status, settled_at = moment, settled_by = request.actor_id,
            answered_model_id = coalesce(request.model_id, r.model_id),
            used_input_tokens = used_input, used_output_tokens = used_output,
            used_unsplit_tokens = request.unsplit_tokens, charged = charge, lapsed = lapse,
            overrun = price - charge, duration_ms = request.duration_ms,
            reason = request.reason, error = request.error
        WHERE r.user_id = request.user_id AND r.session_id = request.session_id
        RETURNING * INTO reservation;
        RETURN NEXT;
    END LOOP;
END
$$
