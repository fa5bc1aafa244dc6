"""Operations of all kinds on streams, in one list."""

from importlib.resources import files

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. It only adds: the previous version goes on with the functions that it knows."""
    functions = files("aula_accounting.storage.migrations") / "functions"
    text = (functions / "apply_streaming_1.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(text)


def downgrade() -> None:
    """Take back."""
    op.execute(
        "DROP FUNCTION apply_streaming"
        "(jsonb, jsonb, jsonb, timestamptz, interval, integer, boolean)"
    )
