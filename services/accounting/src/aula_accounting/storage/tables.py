"""The tables, as the migrations leave them; a test compares the two."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

Id = sa.Text(collation="C")  # ids are compared by bytes: quicker, and one order everywhere
Moment = sa.DateTime(timezone=True)
RateNumber = sa.Numeric(18, 6)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("user_id", Id, primary_key=True),
    sa.Column("remaining", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("low_below", sa.BigInteger, nullable=False, server_default="0"),
)

allocations = sa.Table(
    "allocations",
    metadata,
    sa.Column("user_id", Id, sa.ForeignKey("accounts.user_id"), primary_key=True),
    sa.Column("id", Id, primary_key=True),
    sa.Column("granted", sa.BigInteger, nullable=False),
    sa.Column("remaining", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("charged", sa.BigInteger, nullable=False),
    sa.Column("lapsed", sa.BigInteger, nullable=False),
    sa.Column("revoked", sa.BigInteger, nullable=False),
    sa.Column(
        "closed",
        sa.Boolean,
        sa.Computed("remaining = 0 AND held = 0", persisted=True),
        nullable=False,
    ),
    sa.Column("expires_at", Moment),
    sa.Column("revoked_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("created_by", Id, nullable=False),
    sa.Column("note", sa.Text),
    sa.UniqueConstraint("id"),
    sa.Index(
        "ix_allocations_open", "user_id", "expires_at", postgresql_where=sa.text("NOT closed")
    ),
    sa.Index(
        "ix_allocations_expiring",
        "expires_at",
        postgresql_where=sa.text("NOT closed AND expires_at IS NOT NULL"),
    ),
)

reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("user_id", Id, sa.ForeignKey("accounts.user_id"), primary_key=True),
    sa.Column("session_id", Id, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("tombstone", sa.Boolean, nullable=False),
    sa.Column("service_id", Id, nullable=False),
    sa.Column("chat_session_id", Id),
    sa.Column("team_id", Id),
    sa.Column("digest", sa.Text),
    sa.Column("model_id", sa.Text),
    sa.Column("rates", JSONB, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("max_output_tokens", sa.BigInteger, nullable=False),
    sa.Column("estimated", sa.BigInteger, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("source_ids", ARRAY(sa.Text), nullable=False),
    sa.Column("source_amounts", ARRAY(sa.BigInteger), nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("lease_expires_at", Moment, nullable=False),
    sa.Column("tokens_generated", sa.BigInteger, nullable=False),
    sa.Column("progress_at", Moment),
    sa.Column("settled_at", Moment),
    sa.Column("settled_by", Id),
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
    sa.Column("counted", JSONB),
    # Distributed by user, this one becomes a plain index: the ids are random.
    sa.UniqueConstraint("session_id"),
    sa.Index(
        "ix_reservations_active",
        "user_id",
        "started_at",
        postgresql_where=sa.text("status = 'active'"),
    ),
    sa.Index(
        "ix_reservations_lease", "lease_expires_at", postgresql_where=sa.text("status = 'active'")
    ),
    sa.Index(
        "ix_reservations_usage",
        "user_id",
        "settled_at",
        postgresql_where=sa.text("settled_at IS NOT NULL AND NOT tombstone"),
    ),
)

ledger_entries = sa.Table(
    "ledger_entries",
    metadata,
    sa.Column("user_id", Id, primary_key=True),
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("allocation_id", Id),
    sa.Column("session_id", Id),
    sa.Column("actor_id", Id, nullable=False),
    sa.Column("recorded_at", Moment, nullable=False),
    sa.ForeignKeyConstraint(
        ["user_id", "allocation_id"],
        ["allocations.user_id", "allocations.id"],
        name="fk_ledger_entries_allocations",
    ),
    sa.Index("ix_ledger_entries_session", "user_id", "session_id"),
    sa.Index(
        "uq_ledger_entries_settlement",
        "user_id",
        "session_id",
        unique=True,
        postgresql_where=sa.text("kind = 'settle'"),
    ),
)

rates = sa.Table(
    "rates",
    metadata,
    sa.Column("model_id", sa.Text(collation="C"), primary_key=True),
    sa.Column("starts_at", Moment, primary_key=True),
    sa.Column("input_rate", RateNumber, nullable=False),
    sa.Column("output_rate", RateNumber, nullable=False),
    sa.Column("created_by", Id, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("caller_id", Id, primary_key=True),
    sa.Column("key", Id, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("answer", JSONB),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index("ix_idempotency_keys_created_at", "created_at"),
)

quotas = sa.Table(
    "quotas",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("subject_id", Id, primary_key=True),
    sa.Column("metric", sa.Text, primary_key=True),
    sa.Column("period", sa.Text, primary_key=True),
    sa.Column("quantity", sa.BigInteger, nullable=False),
    sa.Column("updated_by", Id, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
)

quota_days = sa.Table(
    "quota_days",
    metadata,
    sa.Column("user_id", Id, sa.ForeignKey("accounts.user_id"), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("sessions", sa.BigInteger, nullable=False),
    sa.Column("messages", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("compute_seconds", sa.BigInteger, nullable=False),
    sa.Column("credits", sa.BigInteger, nullable=False),
    sa.Column("told", ARRAY(sa.Text), nullable=False, server_default="{}"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("user_id", Id, nullable=False),
    sa.Column("team_id", Id),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("data", JSONB, nullable=False),
)
