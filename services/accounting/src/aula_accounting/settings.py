"""What the service reads from the environment."""

from datetime import timedelta

from pydantic import Field

from aula_common.settings import Block, PostgresSettings, ServiceSettings, TokenSettings


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


class Settings(ServiceSettings):
    """The service as a whole."""

    port: int = Field(default=3001, ge=0, le=65535)
    tokens: TokenSettings = Field(default_factory=TokenSettings)
    database: PostgresSettings = Field(default_factory=PostgresSettings)
    credits: CreditSettings = Field(default_factory=CreditSettings)
