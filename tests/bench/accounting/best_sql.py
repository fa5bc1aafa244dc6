"""pgbench with the best SQL by hand: one statement reserves, one settles, each its own commit.

It writes the rows that the service writes and leaves out all else: rates are constants, no limit of
running streams, no repetition, one allocation only, no refusal.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from aula_devstack.servers.postgres import Postgres

RESERVE = """
WITH account AS (
    SELECT user_id FROM accounts WHERE user_id = 'usr_' || :user FOR UPDATE
), source AS (
    SELECT a.id FROM allocations a
    WHERE a.user_id = 'usr_' || :user AND NOT a.closed AND a.remaining >= 4
        AND a.revoked_at IS NULL AND (a.expires_at IS NULL OR a.expires_at > now())
        AND EXISTS (SELECT 1 FROM account)
    ORDER BY a.expires_at NULLS LAST, a.created_at, a.id LIMIT 1 FOR UPDATE
), taken AS (
    UPDATE allocations a SET remaining = a.remaining - 4, held = a.held + 4
    FROM source s WHERE a.user_id = 'usr_' || :user AND a.id = s.id RETURNING a.id
), reservation AS (
    INSERT INTO reservations (
        user_id, session_id, status, tombstone, service_id, digest, model_id, rates, input_tokens,
        max_output_tokens, estimated, reserved, source_ids, source_amounts, started_at,
        lease_expires_at, tokens_generated)
    SELECT 'usr_' || :user, 'str_' || :stream, 'active', false, 'chat',
        'f7c3bc1d808e04732adf679965ccc34ca7ae3441f7c3bc1d808e04732adf6799',
        'anthropic.claude-3-sonnet-20240229-v1:0',
        '{"anthropic.claude-3-sonnet-20240229-v1:0": {"input": 3.000000, "output": 3.000000}}',
        500, 500, 3, 4, ARRAY[t.id], ARRAY[4::bigint], now(), now() + interval '300 s', 0
    FROM taken t
    RETURNING reserved
), entry AS (
    INSERT INTO ledger_entries
        (user_id, kind, amount, allocation_id, session_id, actor_id, recorded_at)
    SELECT 'usr_' || :user, 'hold', 4, t.id, 'str_' || :stream, 'chat', now() FROM taken t
), moved AS (
    UPDATE accounts SET remaining = remaining - 4, held = held + 4
    WHERE user_id = 'usr_' || :user AND EXISTS (SELECT 1 FROM taken)
)
SELECT reserved FROM reservation;
"""

SETTLE = """
WITH account AS (
    SELECT user_id FROM accounts WHERE user_id = 'usr_' || :user FOR UPDATE
), reservation AS (
    UPDATE reservations SET
        status = 'completed', settled_at = now(), settled_by = 'chat',
        answered_model_id = model_id, used_input_tokens = 0, used_output_tokens = 300,
        used_unsplit_tokens = 0, charged = 1, lapsed = 0, overrun = 0
    WHERE user_id = 'usr_' || :user AND session_id = 'str_' || :stream AND status = 'active'
        AND EXISTS (SELECT 1 FROM account)
    RETURNING source_ids[1] AS id, reserved
), back AS (
    UPDATE allocations a SET
        held = a.held - r.reserved, charged = a.charged + 1,
        remaining = a.remaining + r.reserved - 1
    FROM reservation r WHERE a.user_id = 'usr_' || :user AND a.id = r.id
), entry AS (
    INSERT INTO ledger_entries
        (user_id, kind, amount, allocation_id, session_id, actor_id, recorded_at)
    SELECT 'usr_' || :user, e.kind, e.amount, CASE WHEN e.kind <> 'settle' THEN r.id END,
        'str_' || :stream, 'chat', now()
    FROM reservation r, (VALUES ('charge', 1), ('refund', 3), ('settle', 1)) AS e (kind, amount)
), moved AS (
    UPDATE accounts a SET remaining = a.remaining + r.reserved - 1, held = a.held - r.reserved
    FROM reservation r WHERE a.user_id = 'usr_' || :user
)
SELECT reserved FROM reservation;
"""

_RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_DONE = re.compile(r"^number of transactions actually processed: ([0-9]+)", re.MULTILINE)
_LARGEST_STREAM = 2**62


def write_script(folder: Path, *, users: int) -> Path:
    """The script of one pair for one of so many users."""
    path = folder / f"pair_of_{users}.sql"
    one_line = [" ".join(statement.split()) for statement in (RESERVE, SETTLE)]
    path.write_text(
        f"\\set user random(1, {users})\n\\set stream random(1, {_LARGEST_STREAM})\n"
        + "\n".join(one_line)
        + "\n"
    )
    return path


def run(
    server: Postgres, program: Path, script: Path, *, clients: int, seconds: float
) -> Mapping[str, float]:
    """Pairs and pairs per second; refuses a run in which a statement failed."""
    words = [
        str(program), "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)),
        "-T", str(max(1, round(seconds))), "-f", str(script), server.url,
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own program
        words, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}
    )
    rate, count = _RATE.search(done.stdout), _DONE.search(done.stdout)
    assert rate is not None, done.stdout + done.stderr
    assert count is not None, done.stdout
    return {"pairs": int(count[1]), "pairs_per_second": float(rate[1])}
