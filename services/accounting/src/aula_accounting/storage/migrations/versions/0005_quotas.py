"""Quotas, and usage that is reserved and settled in one call."""

from importlib.resources import files

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_METRICS = "'sessions', 'messages', 'tokens', 'computeSeconds', 'credits'"
_NEW_FUNCTIONS = ("quota_standing_1", "exceeded_quota_1", "count_quota_1", "correct_quota_1")
_SETTLE = "settle_credits(jsonb, timestamptz)"
_RESERVE = "reserve_credits(jsonb, timestamptz, interval, integer)"


def upgrade() -> None:
    """Apply. The previous version goes on: its requests name no quota, and none is asked."""
    _create_quotas()
    _create_quota_days()
    op.add_column("reservations", sa.Column("counted", JSONB))
    for name in (*_NEW_FUNCTIONS, "reserve_credits_2", "settle_credits_2"):
        _run(name)
    # A trigger: it corrects whichever version settles.
    op.execute(
        "CREATE TRIGGER reservations_correct_quota AFTER UPDATE OF status ON reservations "
        "FOR EACH ROW WHEN (OLD.status = 'active' AND NEW.status <> 'active' "
        "AND NEW.counted IS NOT NULL) EXECUTE FUNCTION correct_quota()"
    )


def downgrade() -> None:
    """Take back."""
    op.execute("DROP TRIGGER reservations_correct_quota ON reservations")
    for function in (_RESERVE, _SETTLE):
        op.execute(f"DROP FUNCTION {function}")
    _run("reserve_credits_1")
    _run("settle_credits_1")
    for function in (
        "correct_quota()",
        "count_quota(text, text, text[], timestamptz, jsonb)",
        "exceeded_quota(text, text, text[], timestamptz, jsonb)",
        "quota_standing(text, text, text[], timestamptz)",
    ):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_column("reservations", "counted")
    op.drop_table("quota_days")
    op.drop_table("quotas")


def _run(function: str) -> None:
    path = files("aula_accounting.storage.migrations") / "functions" / f"{function}.sql"
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))


def _create_quotas() -> None:
    op.create_table(
        "quotas",
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Text(collation="C"), nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("updated_by", sa.Text(collation="C"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject_id", "metric", "period", name="pk_quotas"),
        sa.CheckConstraint("scope IN ('tier', 'team', 'user')", name="ck_quotas_scope"),
        sa.CheckConstraint(f"metric IN ({_METRICS})", name="ck_quotas_metric"),
        sa.CheckConstraint("period IN ('day', 'month')", name="ck_quotas_period"),
        sa.CheckConstraint("quantity >= 0", name="ck_quotas_not_negative"),
    )


def _create_quota_days() -> None:
    amounts = ("sessions", "messages", "tokens", "compute_seconds", "credits")
    op.create_table(
        "quota_days",
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in amounts),
        sa.Column("told", ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("user_id", "day", name="pk_quota_days"),
        sa.ForeignKeyConstraint(["user_id"], ["accounts.user_id"], name="fk_quota_days_accounts"),
        sa.CheckConstraint(
            " AND ".join(f"{name} >= 0" for name in amounts), name="ck_quota_days_not_negative"
        ),
        postgresql_with={"fillfactor": "50"},
    )
