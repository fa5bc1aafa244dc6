-- Reserves credits for a list of streams, in the order of their users; a single call is a list
-- of one. A refusal is a row, never an error, so that it can't undo its neighbours.
--
-- requests: [{place, session_id, user_id, service_id, chat_session_id, team_id, model_ids (the
-- first is the one asked for), input_tokens, output_tokens, unsplit_tokens, max_output_tokens,
-- digest, tier, messages, compute_seconds, at_once}]
--
-- at_once: the usage is known, and the same transaction settles it. Its price is held and no more,
-- and it is no running stream. messages: how many to count in quotas; a program of before the quotas
-- says nothing, and then no quota is asked.
--
-- Every writer of a user's rows locks the account first. Each statement below takes a new
-- snapshot after that lock, so what it reads of that user can't change under it.
CREATE OR REPLACE FUNCTION reserve_credits(
    requests jsonb, moment timestamptz, lease interval, running_limit integer
) RETURNS TABLE (place integer, outcome text, detail jsonb, reservation reservations)
LANGUAGE plpgsql AS $$
DECLARE
    holder text;
    request record;
    frozen jsonb;
    estimate bigint;
    hold bigint;
    unpriced text;
    running bigint;
    available bigint;
    reachable bigint;
    sources text[];
    amounts bigint[];
    counted jsonb;
    quota jsonb;
BEGIN
    -- One by one: joined to the list, a planner may prefer to read the accounts of everybody.
    FOR holder IN
        SELECT DISTINCT r.user_id COLLATE "C"
        FROM jsonb_to_recordset(requests) AS r(user_id text) ORDER BY 1
    LOOP
        PERFORM 1 FROM accounts a WHERE a.user_id = holder FOR UPDATE;
    END LOOP;

    FOR request IN
        SELECT * FROM jsonb_to_recordset(requests) AS r(
            place integer, session_id text, user_id text, service_id text, chat_session_id text,
            team_id text, model_ids text[], input_tokens bigint, output_tokens bigint,
            unsplit_tokens bigint, max_output_tokens bigint, digest text, tier text,
            messages bigint, compute_seconds bigint, at_once boolean)
        ORDER BY r.user_id COLLATE "C", r.place
    LOOP
        place := request.place;
        detail := NULL;

        SELECT r.* INTO reservation FROM reservations r WHERE r.session_id = request.session_id;
        IF FOUND THEN
            outcome := CASE
                WHEN reservation.user_id <> request.user_id THEN 'conflict'
                WHEN reservation.status <> 'active' THEN 'settled'
                WHEN reservation.digest <> request.digest THEN 'conflict'
                ELSE 'reserved' END;
            RETURN NEXT;
            CONTINUE;
        END IF;

        SELECT jsonb_object_agg(
                   m.model_id, jsonb_build_object('input', t.input_rate, 'output', t.output_rate)),
               max(price_credits(request.input_tokens, request.output_tokens,
                   request.unsplit_tokens, t.input_rate, t.output_rate)),
               min(m.model_id) FILTER (WHERE t.input_rate IS NULL)
        INTO frozen, estimate, unpriced
        FROM unnest(request.model_ids) AS m(model_id)
        LEFT JOIN LATERAL (
            SELECT rates.input_rate, rates.output_rate FROM rates
            WHERE rates.model_id = m.model_id AND rates.starts_at <= moment
            ORDER BY rates.starts_at DESC LIMIT 1
        ) t ON true;
        IF unpriced IS NOT NULL THEN
            outcome := 'unpriced';
            detail := jsonb_build_object('model_id', unpriced);
            RETURN NEXT;
            CONTINUE;
        END IF;

        SELECT count(*) INTO running FROM reservations r
        WHERE r.user_id = request.user_id AND r.status = 'active';
        IF running >= running_limit AND request.at_once IS NOT TRUE THEN
            outcome := 'too_many';
            RETURN NEXT;
            CONTINUE;
        END IF;

        hold := CASE WHEN request.at_once THEN estimate
                     ELSE (6 * estimate + 4) / 5 END;  -- ceil(1.2 * estimate)

        counted := jsonb_build_object(
            'messages', request.messages,
            'tokens', request.input_tokens + request.output_tokens + request.unsplit_tokens,
            'credits', hold, 'computeSeconds', request.compute_seconds);
        -- A stream's time is counted at its end: one second at least must be left at its start.
        quota := NULL;
        IF request.messages IS NOT NULL AND EXISTS (SELECT FROM quotas) THEN
            quota := exceeded_quota(request.user_id, request.tier, ARRAY[request.team_id], moment,
                counted || jsonb_build_object('computeSeconds', greatest(
                    request.compute_seconds, least(request.messages, 1))));
        END IF;
        IF quota <> '{}' THEN
            outcome := 'quota';
            detail := quota;
            RETURN NEXT;
            CONTINUE;
        END IF;

        SELECT coalesce(sum(a.remaining), 0), coalesce(sum(a.remaining + a.held), 0)
        INTO available, reachable
        FROM allocations a
        WHERE a.user_id = request.user_id AND NOT a.closed AND a.revoked_at IS NULL
            AND (a.expires_at IS NULL OR a.expires_at > moment);
        IF available < hold THEN
            outcome := CASE WHEN reachable >= hold THEN 'held' ELSE 'insufficient' END;
            SELECT jsonb_build_object(
                'available', available, 'required', hold, 'estimated', estimate,
                'held', coalesce(sum(r.reserved), 0),
                'holds', coalesce(jsonb_agg(jsonb_build_object(
                    'session_id', r.session_id, 'amount', r.reserved, 'since', r.started_at,
                    'chat_session_id', r.chat_session_id
                ) ORDER BY r.started_at, r.session_id), '[]'))
            INTO detail
            FROM reservations r
            WHERE r.user_id = request.user_id AND r.status = 'active' AND r.reserved > 0;
            RETURN NEXT;
            CONTINUE;
        END IF;

        -- The soonest to expire first; what never expires last.
        SELECT coalesce(array_agg(f.id ORDER BY f.rank), '{}'),
               coalesce(array_agg(least(f.remaining, hold - f.before) ORDER BY f.rank), '{}')
        INTO sources, amounts
        FROM (
            SELECT a.id, a.remaining, row_number() OVER w AS rank,
                   (sum(a.remaining) OVER w - a.remaining)::bigint AS before
            FROM allocations a
            WHERE a.user_id = request.user_id AND NOT a.closed AND a.remaining > 0
                AND a.revoked_at IS NULL AND (a.expires_at IS NULL OR a.expires_at > moment)
            WINDOW w AS (ORDER BY a.expires_at NULLS LAST, a.created_at, a.id)
        ) f
        WHERE f.before < hold;

        INSERT INTO reservations (
            user_id, session_id, status, tombstone, service_id, chat_session_id, team_id, digest,
            model_id, rates, input_tokens, max_output_tokens, estimated, reserved, source_ids,
            source_amounts, started_at, lease_expires_at, tokens_generated, counted)
        VALUES (
            request.user_id, request.session_id, 'active', false, request.service_id,
            request.chat_session_id, request.team_id, request.digest, request.model_ids[1], frozen,
            request.input_tokens, request.max_output_tokens, estimate, hold, sources,
            amounts, moment, moment + lease, 0,
            CASE WHEN quota IS NOT NULL THEN counted END)
        ON CONFLICT DO NOTHING
        RETURNING * INTO reservation;
        IF NOT FOUND THEN
            outcome := 'conflict';  -- another user's request took the id meanwhile
            RETURN NEXT;
            CONTINUE;
        END IF;

        UPDATE allocations a SET remaining = a.remaining - s.amount, held = a.held + s.amount
        FROM unnest(sources, amounts) AS s(id, amount)
        WHERE a.user_id = request.user_id AND a.id = s.id;

        INSERT INTO ledger_entries
            (user_id, kind, amount, allocation_id, session_id, actor_id, recorded_at)
        SELECT request.user_id, 'hold', s.amount, s.id, request.session_id, request.service_id,
               moment
        FROM unnest(sources, amounts) WITH ORDINALITY AS s(id, amount, rank)
        ORDER BY s.rank;

        UPDATE accounts a SET remaining = a.remaining - hold, held = a.held + hold
        WHERE a.user_id = request.user_id;

        IF quota IS NOT NULL THEN
            PERFORM count_quota(
                request.user_id, request.tier, ARRAY[request.team_id], moment, counted);
        END IF;

        outcome := 'reserved';
        RETURN NEXT;
    END LOOP;
END
$$
