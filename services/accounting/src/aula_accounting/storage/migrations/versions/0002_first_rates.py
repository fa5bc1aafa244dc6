"""The first catalogue of rates: credits per 1,000 tokens, input and output alike."""

from datetime import UTC, datetime
from decimal import Decimal

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STARTS_AT = datetime(2026, 1, 1, tzinfo=UTC)
_AUTHOR = "migration"
_RATES = {
    "anthropic.claude-3-sonnet-20240229-v1:0": Decimal(3),
    "anthropic.claude-3-haiku-20240307-v1:0": Decimal("0.25"),
    "anthropic.claude-3-opus-20240229-v1:0": Decimal(15),
    "anthropic.claude-instant-v1": Decimal("0.8"),
    "amazon.titan-text-express-v1": Decimal("0.3"),
    "meta.llama2-13b-chat-v1": Decimal("0.3"),
}

_rates = sa.table(
    "rates",
    sa.column("model_id", sa.Text),
    sa.column("starts_at", sa.DateTime(timezone=True)),
    sa.column("input_rate", sa.Numeric(18, 6)),
    sa.column("output_rate", sa.Numeric(18, 6)),
    sa.column("created_by", sa.Text),
    sa.column("created_at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    """Apply."""
    op.bulk_insert(
        _rates,
        [
            {
                "model_id": model_id,
                "starts_at": _STARTS_AT,
                "input_rate": rate,
                "output_rate": rate,
                "created_by": _AUTHOR,
                "created_at": _STARTS_AT,
            }
            for model_id, rate in _RATES.items()
        ],
    )


def downgrade() -> None:
    """Take back what this migration wrote."""
    op.execute(sa.delete(_rates).where(_rates.c.created_by == _AUTHOR))
