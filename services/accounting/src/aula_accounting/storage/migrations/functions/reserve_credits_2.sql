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
-- Every writer of a user's rows locks the account first. What is read after that lock can't change
-- under it: so all is read at once, decided one by one in memory, and written at once. A list pays
-- for its statements once. The account's row stays where it is locked: so it is updated there (ctid).
--
-- An id that another user's list takes at the same time ends the list with a serialization_failure:
-- asked again, it is a conflict.
CREATE OR REPLACE FUNCTION reserve_credits(
    requests jsonb, moment timestamptz, lease interval, running_limit integer
) RETURNS TABLE (place integer, outcome text, detail jsonb, reservation reservations)
LANGUAGE plpgsql
-- One user's rows, by an index, however few or many the planner believes there are.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    request record;
    holder text;
    running bigint;  -- the streams of this user,
    sources text[];  -- his allocations in the order in which they are taken from,
    room bigint[];   -- what is left of each,
    available bigint;  -- and of all of them
    hold bigint;
    part bigint;
    counted jsonb;
    quota jsonb;
    sessions text[] := '{}';
    granted reservations[] := '{}';
    inserted integer;
    holders text[];
    accounts_at tid[];
BEGIN
    SELECT array_agg(u.user_id), array_agg(l.at) INTO holders, accounts_at
    FROM (
        SELECT DISTINCT r.user_id COLLATE "C" AS user_id
        FROM jsonb_to_recordset(requests) AS r(user_id text) ORDER BY 1
    ) u, LATERAL (SELECT a.ctid AS at FROM accounts a WHERE a.user_id = u.user_id FOR UPDATE) l;

    FOR request IN
        SELECT r.*, e.earlier, p.frozen, p.estimate, p.unpriced, n.running,
               s.sources, s.room, s.available, s.reachable,
               r.messages IS NOT NULL AND EXISTS (SELECT FROM quotas) AS limited
        FROM jsonb_to_recordset(requests) AS r(
            place integer, session_id text, user_id text, service_id text, chat_session_id text,
            team_id text, model_ids text[], input_tokens bigint, output_tokens bigint,
            unsplit_tokens bigint, max_output_tokens bigint, digest text, tier text,
            messages bigint, compute_seconds bigint, at_once boolean)
        LEFT JOIN LATERAL (
            SELECT o AS earlier FROM reservations o WHERE o.session_id = r.session_id
        ) e ON true
        CROSS JOIN LATERAL (
            SELECT jsonb_object_agg(m.model_id, jsonb_build_object(
                       'input', t.input_rate, 'output', t.output_rate)) AS frozen,
                   max(price_credits(r.input_tokens, r.output_tokens, r.unsplit_tokens,
                       t.input_rate, t.output_rate)) AS estimate,
                   min(m.model_id) FILTER (WHERE t.input_rate IS NULL) AS unpriced
            FROM unnest(r.model_ids) AS m(model_id)
            LEFT JOIN LATERAL (
                SELECT rates.input_rate, rates.output_rate FROM rates
                WHERE rates.model_id = m.model_id AND rates.starts_at <= moment
                ORDER BY rates.starts_at DESC LIMIT 1
            ) t ON true
        ) p
        CROSS JOIN LATERAL (
            SELECT count(*) AS running FROM reservations o
            WHERE o.user_id = r.user_id AND o.status = 'active'
        ) n
        CROSS JOIN LATERAL (
            -- The soonest to expire first; what never expires last.
            SELECT array_agg(a.id) AS sources, array_agg(a.remaining) AS room,
                   coalesce(sum(a.remaining), 0)::bigint AS available,
                   coalesce(sum(a.remaining + a.held), 0)::bigint AS reachable
            FROM (
                SELECT a.id, a.remaining, a.held FROM allocations a
                WHERE a.user_id = r.user_id AND NOT a.closed AND a.revoked_at IS NULL
                    AND (a.expires_at IS NULL OR a.expires_at > moment)
                ORDER BY a.expires_at NULLS LAST, a.created_at, a.id
            ) a
        ) s
        ORDER BY r.user_id COLLATE "C", r.place
    LOOP
        IF holder IS DISTINCT FROM request.user_id THEN
            holder := request.user_id;
            running := request.running;
            sources := request.sources;
            room := request.room;
            available := request.available;
        END IF;
        place := request.place;
        detail := NULL;

        reservation := request.earlier;
        IF reservation.session_id IS NULL AND request.session_id = ANY (sessions) THEN
            reservation := granted[array_position(sessions, request.session_id)];
        END IF;
        IF reservation.session_id IS NOT NULL THEN
            outcome := CASE
                WHEN reservation.user_id <> request.user_id THEN 'conflict'
                WHEN reservation.status <> 'active' THEN 'settled'
                WHEN reservation.digest <> request.digest THEN 'conflict'
                ELSE 'reserved' END;
            RETURN NEXT;
            CONTINUE;
        END IF;

        IF request.unpriced IS NOT NULL THEN
            outcome := 'unpriced';
            detail := jsonb_build_object('model_id', request.unpriced);
            RETURN NEXT;
            CONTINUE;
        END IF;

        IF running >= running_limit AND request.at_once IS NOT TRUE THEN
            outcome := 'too_many';
            RETURN NEXT;
            CONTINUE;
        END IF;

        hold := CASE WHEN request.at_once THEN request.estimate
                     ELSE (6 * request.estimate + 4) / 5 END;  -- ceil(1.2 * estimate)

        quota := NULL;
        IF request.limited THEN
            counted := jsonb_build_object(
                'messages', request.messages,
                'tokens', request.input_tokens + request.output_tokens + request.unsplit_tokens,
                'credits', hold, 'computeSeconds', request.compute_seconds);
            -- A stream's time is counted at its end: one second at least must be left at its start.
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

        IF available < hold THEN
            outcome := CASE WHEN request.reachable >= hold THEN 'held' ELSE 'insufficient' END;
            SELECT jsonb_build_object(
                'available', available, 'required', hold, 'estimated', request.estimate,
                'held', coalesce(sum(r.reserved), 0),
                'holds', coalesce(jsonb_agg(jsonb_build_object(
                    'session_id', r.session_id, 'amount', r.reserved, 'since', r.started_at,
                    'chat_session_id', r.chat_session_id
                ) ORDER BY r.started_at, r.session_id), '[]'))
            INTO detail
            FROM (
                SELECT o.* FROM reservations o
                WHERE o.user_id = request.user_id AND o.status = 'active'
                UNION ALL
                SELECT g.* FROM unnest(granted) AS g WHERE g.user_id = request.user_id
            ) r
            WHERE r.reserved > 0;
            RETURN NEXT;
            CONTINUE;
        END IF;

        reservation.user_id := request.user_id;
        reservation.session_id := request.session_id;
        reservation.status := 'active';
        reservation.tombstone := false;
        reservation.service_id := request.service_id;
        reservation.chat_session_id := request.chat_session_id;
        reservation.team_id := request.team_id;
        reservation.digest := request.digest;
        reservation.model_id := request.model_ids[1];
        reservation.rates := request.frozen;
        reservation.input_tokens := request.input_tokens;
        reservation.max_output_tokens := request.max_output_tokens;
        reservation.estimated := request.estimate;
        reservation.reserved := hold;
        reservation.source_ids := '{}';
        reservation.source_amounts := '{}';
        reservation.started_at := moment;
        reservation.lease_expires_at := moment + lease;
        reservation.tokens_generated := 0;

        running := running + 1;
        available := available - hold;
        FOR number IN 1 .. coalesce(cardinality(sources), 0) LOOP
            EXIT WHEN hold = 0;
            part := least(hold, room[number]);
            CONTINUE WHEN part = 0;
            reservation.source_ids := reservation.source_ids || sources[number];
            reservation.source_amounts := reservation.source_amounts || part;
            room[number] := room[number] - part;
            hold := hold - part;
        END LOOP;

        IF quota IS NOT NULL THEN
            reservation.counted := counted;
            PERFORM count_quota(
                request.user_id, request.tier, ARRAY[request.team_id], moment, counted);
        END IF;

        sessions := sessions || request.session_id;
        granted := granted || reservation;
        outcome := 'reserved';
        RETURN NEXT;
    END LOOP;

    IF granted = '{}' THEN
        RETURN;
    END IF;

    -- In the order of their ids: two lists can't wait for one another.
    INSERT INTO reservations
    SELECT g.* FROM unnest(granted) AS g ORDER BY g.session_id COLLATE "C"
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF inserted < cardinality(granted) THEN
        RAISE serialization_failure USING MESSAGE = 'another user has taken an id meanwhile';
    END IF;

    UPDATE allocations a SET remaining = a.remaining - p.amount, held = a.held + p.amount
    FROM (
        SELECT g.user_id, s.id, sum(s.amount)::bigint AS amount
        FROM unnest(granted) AS g, unnest(g.source_ids, g.source_amounts) AS s(id, amount)
        GROUP BY g.user_id, s.id
    ) p
    WHERE a.user_id = p.user_id AND a.id = p.id;

    INSERT INTO ledger_entries
        (user_id, kind, amount, allocation_id, session_id, actor_id, recorded_at)
    SELECT g.user_id, 'hold', s.amount, s.id, g.session_id, g.service_id, moment
    FROM unnest(granted) AS g, unnest(g.source_ids, g.source_amounts) AS s(id, amount);

    UPDATE accounts a SET remaining = a.remaining - p.amount, held = a.held + p.amount
    FROM (
        SELECT accounts_at[array_position(holders, g.user_id)] AS at,
               sum(g.reserved)::bigint AS amount
        FROM unnest(granted) AS g GROUP BY g.user_id
    ) p
    WHERE a.ctid = p.at;
END
$$
