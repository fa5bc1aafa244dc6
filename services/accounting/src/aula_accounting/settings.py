"""What the service reads from the environment."""

from datetime import timedelta

from pydantic import Field, SecretStr

from aula_common.settings import (
    Block,
    PostgresSettings,
    RedisSettings,
    ServiceSettings,
    TokenSettings,
)


class CreditSettings(Block):
    """The rules of streams and of the sweeper; durations are in seconds."""

    max_streaming_duration: float = Field(default=120, gt=0, le=86_400)
    lease_margin_seconds: float = Field(
        default=180, ge=0, description="How much longer than the longest stream a hold lives."
    )
    max_running_streams: int = Field(default=5, ge=1, description="At once, for each user.")
    sweep_interval_seconds: float = Field(default=15, gt=0)

    @property
    def lease(self) -> timedelta:
        """How long after its start a reservation may be swept."""
        return timedelta(seconds=self.max_streaming_duration + self.lease_margin_seconds)


class GroupCommitSettings(Block):
    """How initialize, heartbeat, finalize and abort share transactions."""

    group_commit_lanes: int = Field(
        default=1, ge=1, le=8, description="Each has a worker and a connection of its own."
    )
    group_commit_size: int = Field(default=64, ge=1, le=1000, description="Members at most.")
    group_commit_queue: int = Field(default=2_000, ge=1, description="Beyond it requests are 503.")
    group_commit_patience_seconds: float = Field(
        default=8, gt=0, description="Who has waited for so long is answered 503."
    )


class NewsSettings(Block):
    """Where news goes; without an address it is written, kept for a week and told to nobody."""

    redis_url: SecretStr | None = None
    news_interval_seconds: float = Field(default=1, gt=0)
    news_stream_length: int = Field(
        default=100_000, ge=1, description="About how many entries the stream keeps."
    )

    @property
    def redis(self) -> RedisSettings | None:
        """How Redis is reached, if it is."""
        return RedisSettings(redis_url=self.redis_url) if self.redis_url else None


class Settings(ServiceSettings):
    """The service as a whole."""

    port: int = Field(default=3001, ge=0, le=65535)
    tokens: TokenSettings = Field(default_factory=TokenSettings)
    database: PostgresSettings = Field(default_factory=PostgresSettings)
    credits: CreditSettings = Field(default_factory=CreditSettings)
    group_commit: GroupCommitSettings = Field(default_factory=GroupCommitSettings)

    news: NewsSettings = Field(default_factory=NewsSettings)
