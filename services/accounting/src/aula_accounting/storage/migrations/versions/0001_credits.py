"""Accounts, allocations, reservations, the ledger, idempotency keys."""

from importlib.resources import files

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_FUNCTIONS = (
    "price_credits_1",
    "reserve_credits_1",
    "settle_credits_1",
    "report_progress_1",
    "refuse_ledger_change_1",
)
_KINDS = "'allocate', 'hold', 'charge', 'refund', 'lapse', 'expire', 'revoke', 'settle'"
_LARGEST_BALANCE = 2**53 - 1  # what every JSON reader represents exactly


def _id() -> sa.Text:
    return sa.Text(collation="C")


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _amount(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def upgrade() -> None:
    """Apply."""
    _create_accounts()
    _create_allocations()
    _create_reservations()
    _create_ledger()
    _create_idempotency_keys()
    _create_rates()
    functions = files("aula_accounting.storage.migrations") / "functions"
    for name in _FUNCTIONS:
        text = (functions / f"{name}.sql").read_text(encoding="utf-8")
        op.get_bind().exec_driver_sql(text)
    op.execute(
        "CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
        "ON ledger_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()"
    )
    # ALWAYS: a session can't switch it off by session_replication_role.
    op.execute("ALTER TABLE ledger_entries ENABLE ALWAYS TRIGGER ledger_entries_append_only")


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("user_id", _id(), nullable=False),
        _amount("remaining"),
        _amount("held"),
        sa.Column("created_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_accounts"),
        sa.CheckConstraint("remaining >= 0 AND held >= 0", name="ck_accounts_not_negative"),
        sa.CheckConstraint(
            f"remaining + held <= {_LARGEST_BALANCE}", name="ck_accounts_representable"
        ),
        postgresql_with={"fillfactor": "50"},
    )


def _create_allocations() -> None:
    op.create_table(
        "allocations",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("id", _id(), nullable=False),
        _amount("granted"),
        _amount("remaining"),
        _amount("held"),
        _amount("charged"),
        _amount("lapsed"),
        _amount("revoked"),
        sa.Column(
            "closed",
            sa.Boolean,
            sa.Computed("remaining = 0 AND held = 0", persisted=True),
            nullable=False,
        ),
        sa.Column("expires_at", _moment()),
        sa.Column("revoked_at", _moment()),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("created_by", _id(), nullable=False),
        sa.Column("note", sa.Text),
        sa.PrimaryKeyConstraint("user_id", "id", name="pk_allocations"),
        sa.UniqueConstraint("id", name="uq_allocations_id"),
        sa.ForeignKeyConstraint(["user_id"], ["accounts.user_id"], name="fk_allocations_accounts"),
        sa.CheckConstraint(
            "granted > 0 AND remaining >= 0 AND held >= 0 AND charged >= 0 AND lapsed >= 0 "
            "AND revoked >= 0",
            name="ck_allocations_not_negative",
        ),
        sa.CheckConstraint(
            "granted = remaining + held + charged + lapsed + revoked",
            name="ck_allocations_whole",
        ),
        postgresql_with={"fillfactor": "50"},
    )
    # No index holds `remaining` or `held`: a reserve and a settle stay heap-only updates.
    op.create_index(
        "ix_allocations_open",
        "allocations",
        ["user_id", "expires_at"],
        postgresql_where=sa.text("NOT closed"),
    )
    op.create_index(
        "ix_allocations_expiring",
        "allocations",
        ["expires_at"],
        postgresql_where=sa.text("NOT closed AND expires_at IS NOT NULL"),
    )


def _create_reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("session_id", _id(), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("tombstone", sa.Boolean, nullable=False),
        sa.Column("service_id", _id(), nullable=False),
        sa.Column("chat_session_id", _id()),
        sa.Column("team_id", _id()),
        sa.Column("digest", sa.Text),
        sa.Column("model_id", sa.Text),
        sa.Column("rates", JSONB, nullable=False),
        _amount("input_tokens"),
        _amount("max_output_tokens"),
        _amount("estimated"),
        _amount("reserved"),
        sa.Column("source_ids", ARRAY(sa.Text), nullable=False),
        sa.Column("source_amounts", ARRAY(sa.BigInteger), nullable=False),
        sa.Column("started_at", _moment(), nullable=False),
        sa.Column("lease_expires_at", _moment(), nullable=False),
        _amount("tokens_generated"),
        sa.Column("progress_at", _moment()),
        sa.Column("settled_at", _moment()),
        sa.Column("settled_by", _id()),
        sa.Column("answered_model_id", sa.Text),
        sa.Column("used_input_tokens", sa.BigInteger),
        sa.Column("used_output_tokens", sa.BigInteger),
        sa.Column("used_unsplit_tokens", sa.BigInteger),
        sa.Column("charged", sa.BigInteger),
        sa.Column("lapsed", sa.BigInteger),
        sa.Column("overrun", sa.BigInteger),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("user_id", "session_id", name="pk_reservations"),
        sa.UniqueConstraint("session_id", name="uq_reservations_session_id"),
        sa.ForeignKeyConstraint(["user_id"], ["accounts.user_id"], name="fk_reservations_accounts"),
        sa.CheckConstraint(
            "status IN ('active', 'completed', 'failed', 'aborted', 'expired')",
            name="ck_reservations_status",
        ),
        sa.CheckConstraint(
            "tombstone OR (digest IS NOT NULL AND model_id IS NOT NULL)",
            name="ck_reservations_described",
        ),
        sa.CheckConstraint(
            "CASE WHEN status = 'active' THEN settled_at IS NULL AND charged IS NULL "
            "ELSE settled_at IS NOT NULL AND charged IS NOT NULL AND lapsed IS NOT NULL "
            "AND overrun IS NOT NULL AND charged BETWEEN 0 AND reserved AND overrun >= 0 "
            "AND lapsed BETWEEN 0 AND reserved - charged END",
            name="ck_reservations_settled_once",
        ),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "ix_reservations_active",
        "reservations",
        ["user_id", "started_at"],
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index(
        "ix_reservations_lease",
        "reservations",
        ["lease_expires_at"],
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index(
        "ix_reservations_usage",
        "reservations",
        ["user_id", "settled_at"],
        postgresql_where=sa.text("settled_at IS NOT NULL AND NOT tombstone"),
    )


def _create_ledger() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        _amount("amount"),
        sa.Column("allocation_id", _id()),
        sa.Column("session_id", _id()),
        sa.Column("actor_id", _id(), nullable=False),
        sa.Column("recorded_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name="pk_ledger_entries"),
        sa.ForeignKeyConstraint(
            ["user_id", "allocation_id"],
            ["allocations.user_id", "allocations.id"],
            name="fk_ledger_entries_allocations",
        ),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name="ck_ledger_entries_kind"),
        sa.CheckConstraint(
            "CASE WHEN kind = 'settle' THEN amount >= 0 AND allocation_id IS NULL "
            "ELSE amount > 0 AND allocation_id IS NOT NULL END",
            name="ck_ledger_entries_movement",
        ),
        sa.CheckConstraint(
            "(session_id IS NOT NULL) = (kind IN ('hold', 'charge', 'refund', 'lapse', 'settle'))",
            name="ck_ledger_entries_session",
        ),
    )
    op.create_index("ix_ledger_entries_session", "ledger_entries", ["user_id", "session_id"])
    op.create_index(
        "uq_ledger_entries_settlement",
        "ledger_entries",
        ["user_id", "session_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'settle'"),
    )


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("caller_id", _id(), nullable=False),
        sa.Column("key", _id(), nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("answer", JSONB),
        sa.Column("created_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("caller_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def _create_rates() -> None:
    op.create_table(
        "rates",
        sa.Column("model_id", sa.Text(collation="C"), nullable=False),
        sa.Column("starts_at", _moment(), nullable=False),
        sa.Column("input_rate", sa.Numeric(18, 6), nullable=False),
        sa.Column("output_rate", sa.Numeric(18, 6), nullable=False),
        sa.Column("created_by", _id(), nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("model_id", "starts_at", name="pk_rates"),
        sa.CheckConstraint("input_rate >= 0 AND output_rate >= 0", name="ck_rates_not_negative"),
    )


def downgrade() -> None:
    """Take back: everything, the ledger included."""
    for function in (
        "report_progress(jsonb, timestamptz)",
        "settle_credits(jsonb, timestamptz)",
        "reserve_credits(jsonb, timestamptz, interval, integer)",
        "price_credits(bigint, bigint, bigint, numeric, numeric)",
    ):
        op.execute(f"DROP FUNCTION {function}")
    for table in (
        "rates",
        "idempotency_keys",
        "ledger_entries",
        "reservations",
        "allocations",
        "accounts",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_ledger_change()")
