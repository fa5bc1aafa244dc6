"""News for others, written in the transaction that they tell of."""

from importlib.resources import files

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_WORTH_CHANGED = (
    "NEW.remaining + NEW.held > OLD.remaining + OLD.held "
    "OR NEW.remaining + NEW.held < NEW.low_below"
)


def upgrade() -> None:
    """Apply. The previous version goes on: what it moves is told of too, by the triggers."""
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("team_id", sa.Text(collation="C")),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.add_column(
        "accounts", sa.Column("low_below", sa.BigInteger, nullable=False, server_default="0")
    )
    path = files("aula_accounting.storage.migrations") / "functions" / "watch_credits_1.sql"
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
    # The condition stands here and not in the function: a reserve or a refund changes no worth, and
    # then nothing is called.
    op.execute(
        "CREATE TRIGGER accounts_watch_credits BEFORE UPDATE ON accounts FOR EACH ROW "
        f"WHEN ({_WORTH_CHANGED}) EXECUTE FUNCTION watch_credits()"
    )


def downgrade() -> None:
    """Take back."""
    op.execute("DROP TRIGGER accounts_watch_credits ON accounts")
    op.execute("DROP FUNCTION watch_credits()")
    op.drop_column("accounts", "low_below")
    op.drop_table("outbox")
