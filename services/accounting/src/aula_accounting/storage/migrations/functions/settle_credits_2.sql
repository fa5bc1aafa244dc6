-- Settles a list of reservations, in the order of their users; a single call is a list of one.
-- finalize, abort and sweep all end here: whoever comes first settles, the others get what he
-- settled. A refusal is a row, never an error.
--
-- requests: [{place, kind (finalize, abort or sweep), session_id, user_id, actor_id, status,
-- model_id, input_tokens, output_tokens, unsplit_tokens, duration_ms, reason, error}]
--
-- Usage that is not known (input_tokens NULL) is the reserved input and what was shown, and
-- nothing if nothing was shown; a sweep takes the last reported progress for what was shown.
--
-- As reserve_credits it reads all at once when the accounts are locked, decides one by one in
-- memory, and writes all at once. What it enters in the ledger is what it then moves. A row that is
-- locked stays where it is: so it is updated there (ctid), and no index is searched a second time.
CREATE OR REPLACE FUNCTION settle_credits(requests jsonb, moment timestamptz)
RETURNS TABLE (place integer, outcome text, reservation reservations)
LANGUAGE plpgsql
-- One user's rows, by an index, however few or many the planner believes there are.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    request record;
    rate jsonb;
    price bigint;
    rest bigint;
    buried text[] := '{}';
    sessions text[] := '{}';
    settled reservations[] := '{}';
    rows_at tid[] := '{}';  -- where each of them stands
    holders text[];
    accounts_at tid[];
    entry ledger_entries;
    entries ledger_entries[] := '{}';
BEGIN
    IF requests @> '[{"kind": "abort"}]' THEN  -- a tombstone needs an account too
        INSERT INTO accounts (user_id, remaining, held, created_at)
        SELECT DISTINCT r.user_id COLLATE "C", 0, 0, moment
        FROM jsonb_to_recordset(requests) AS r(user_id text, kind text) WHERE r.kind = 'abort'
        ORDER BY 1
        ON CONFLICT DO NOTHING;
    END IF;

    SELECT array_agg(u.user_id), array_agg(l.at) INTO holders, accounts_at
    FROM (
        SELECT DISTINCT r.user_id COLLATE "C" AS user_id
        FROM jsonb_to_recordset(requests) AS r(user_id text) ORDER BY 1
    ) u, LATERAL (SELECT a.ctid AS at FROM accounts a WHERE a.user_id = u.user_id FOR UPDATE) l;

    IF requests @> '[{"kind": "abort"}]' THEN
        -- A tombstone, unless there is something to settle: it refuses a late reserve.
        WITH made AS (
            INSERT INTO reservations (
                user_id, session_id, status, tombstone, service_id, rates, input_tokens,
                max_output_tokens, estimated, reserved, source_ids, source_amounts, started_at,
                lease_expires_at, tokens_generated, settled_at, settled_by, used_input_tokens,
                used_output_tokens, used_unsplit_tokens, charged, lapsed, overrun, reason, error)
            SELECT r.user_id, r.session_id, r.status, true, r.actor_id, '{}', 0, 0, 0, 0, '{}', '{}',
                   moment, moment, 0, moment, r.actor_id, 0, 0, 0, 0, 0, 0, r.reason, r.error
            FROM jsonb_to_recordset(requests) AS r(
                place integer, kind text, session_id text, user_id text, actor_id text, status text,
                reason text, error text)
            WHERE r.kind = 'abort'
                AND NOT EXISTS (SELECT FROM reservations o WHERE o.session_id = r.session_id)
            ORDER BY r.session_id COLLATE "C", r.user_id COLLATE "C", r.place
            ON CONFLICT DO NOTHING
            RETURNING user_id, session_id, service_id
        ), entered AS (
            INSERT INTO ledger_entries (user_id, kind, amount, session_id, actor_id, recorded_at)
            SELECT m.user_id, 'settle', 0, m.session_id, m.service_id, moment FROM made m
        )
        SELECT coalesce(array_agg(m.session_id), '{}') INTO buried FROM made m;
    END IF;

    FOR request IN
        SELECT r.*, f.found, f.at, s.ended
        FROM jsonb_to_recordset(requests) AS r(
            place integer, kind text, session_id text, user_id text, actor_id text, status text,
            model_id text, input_tokens bigint, output_tokens bigint, unsplit_tokens bigint,
            duration_ms bigint, reason text, error text)
        LEFT JOIN LATERAL (
            SELECT o AS found, o.ctid AS at FROM reservations o
            WHERE o.user_id = r.user_id AND o.session_id = r.session_id
            FOR UPDATE  -- a heartbeat takes this lock alone
        ) f ON true
        CROSS JOIN LATERAL (
            SELECT array_agg(a.id) AS ended
            FROM allocations a
            WHERE a.user_id = r.user_id AND a.id = ANY ((f.found).source_ids)
                AND (a.revoked_at IS NOT NULL OR a.expires_at <= moment)
        ) s
        ORDER BY r.user_id COLLATE "C", r.place
    LOOP
        place := request.place;
        reservation := request.found;
        IF request.session_id = ANY (sessions) AND reservation.session_id IS NOT NULL THEN
            reservation := settled[array_position(sessions, request.session_id)];
        END IF;
        outcome := CASE
            WHEN reservation.session_id IS NULL THEN 'unknown'
            WHEN request.session_id = ANY (buried) THEN  -- by this list, for its first abort
                CASE WHEN request.kind = 'abort' THEN 'buried' ELSE 'unknown' END
            WHEN reservation.status <> 'active' THEN 'already'
            WHEN request.kind = 'sweep' AND reservation.lease_expires_at > moment THEN 'not_due'
            WHEN NOT reservation.rates ? coalesce(request.model_id, reservation.model_id)
                THEN 'unpriced'
            ELSE 'settled' END;
        IF outcome = 'buried' THEN
            outcome := 'settled';
            buried := array_remove(buried, request.session_id);
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF outcome <> 'settled' THEN
            reservation := CASE WHEN outcome <> 'unknown' THEN reservation END;
            RETURN NEXT;
            CONTINUE;
        END IF;

        reservation.answered_model_id := coalesce(request.model_id, reservation.model_id);
        reservation.used_output_tokens :=
            CASE WHEN request.kind = 'sweep' THEN reservation.tokens_generated
                 ELSE request.output_tokens END;
        reservation.used_input_tokens := coalesce(request.input_tokens,
            CASE WHEN reservation.used_output_tokens = 0 THEN 0 ELSE reservation.input_tokens END);
        reservation.used_unsplit_tokens := request.unsplit_tokens;
        rate := reservation.rates -> reservation.answered_model_id;
        price := price_credits(
            reservation.used_input_tokens, reservation.used_output_tokens,
            reservation.used_unsplit_tokens,
            (rate ->> 'input')::numeric, (rate ->> 'output')::numeric);
        reservation.charged := least(price, reservation.reserved);
        reservation.overrun := price - reservation.charged;
        reservation.lapsed := 0;
        reservation.status := request.status;
        reservation.settled_at := moment;
        reservation.settled_by := request.actor_id;
        reservation.duration_ms := request.duration_ms;
        reservation.reason := request.reason;
        reservation.error := request.error;

        entry.user_id := request.user_id;
        entry.session_id := request.session_id;
        entry.actor_id := request.actor_id;
        entry.recorded_at := moment;
        entry.kind := 'charge';
        rest := reservation.charged;
        FOR number IN 1 .. cardinality(reservation.source_ids) LOOP
            EXIT WHEN rest = 0;
            entry.allocation_id := reservation.source_ids[number];
            entry.amount := least(rest, reservation.source_amounts[number]);
            entries := entries || entry;
            rest := rest - entry.amount;
        END LOOP;

        -- What was taken last goes back first, and lapses where its allocation has ended.
        rest := reservation.reserved - reservation.charged;
        FOR number IN REVERSE cardinality(reservation.source_ids) .. 1 LOOP
            EXIT WHEN rest = 0;
            entry.allocation_id := reservation.source_ids[number];
            entry.amount := least(rest, reservation.source_amounts[number]);
            entry.kind := 'refund';
            IF entry.allocation_id = ANY (request.ended) THEN
                entry.kind := 'lapse';
                reservation.lapsed := reservation.lapsed + entry.amount;
            END IF;
            entries := entries || entry;
            rest := rest - entry.amount;
        END LOOP;

        -- One terminal entry for each reservation: a second is refused by a unique index.
        entry.kind := 'settle';
        entry.allocation_id := NULL;
        entry.amount := reservation.charged;
        entries := entries || entry;
        sessions := sessions || request.session_id;
        settled := settled || reservation;
        rows_at := rows_at || request.at;
        RETURN NEXT;
    END LOOP;

    IF settled = '{}' THEN
        RETURN;
    END IF;

    INSERT INTO ledger_entries
        (user_id, kind, amount, allocation_id, session_id, actor_id, recorded_at)
    SELECT e.user_id, e.kind, e.amount, e.allocation_id, e.session_id, e.actor_id, e.recorded_at
    FROM unnest(entries) AS e;

    UPDATE allocations a SET
        held = a.held - m.moved,
        charged = a.charged + m.moved - m.refunded - m.lapsed,
        remaining = a.remaining + m.refunded,
        lapsed = a.lapsed + m.lapsed
    FROM (
        SELECT e.user_id, e.allocation_id, sum(e.amount)::bigint AS moved,
               coalesce(sum(e.amount) FILTER (WHERE e.kind = 'refund'), 0)::bigint AS refunded,
               coalesce(sum(e.amount) FILTER (WHERE e.kind = 'lapse'), 0)::bigint AS lapsed
        FROM unnest(entries) AS e WHERE e.kind <> 'settle' GROUP BY e.user_id, e.allocation_id
    ) m
    WHERE a.user_id = m.user_id AND a.id = m.allocation_id;

    UPDATE accounts a SET remaining = a.remaining + m.refunded, held = a.held - m.moved
    FROM (
        SELECT accounts_at[array_position(holders, e.user_id)] AS at, sum(e.amount)::bigint AS moved,
               coalesce(sum(e.amount) FILTER (WHERE e.kind = 'refund'), 0)::bigint AS refunded
        FROM unnest(entries) AS e WHERE e.kind <> 'settle' GROUP BY e.user_id
    ) m
    WHERE a.ctid = m.at;

    UPDATE reservations r SET
        status = s.status, settled_at = s.settled_at, settled_by = s.settled_by,
        answered_model_id = s.answered_model_id, used_input_tokens = s.used_input_tokens,
        used_output_tokens = s.used_output_tokens, used_unsplit_tokens = s.used_unsplit_tokens,
        charged = s.charged, lapsed = s.lapsed, overrun = s.overrun, duration_ms = s.duration_ms,
        reason = s.reason, error = s.error
    FROM ROWS FROM (unnest(settled), unnest(rows_at)) AS s
    WHERE r.ctid = s.unnest;
END
$$
