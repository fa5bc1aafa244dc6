"""What the chat service reads from its environment."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from aula_common.settings import (
    AwsSettings,
    Block,
    Environment,
    MongoSettings,
    RedisSettings,
    ServiceSettings,
    TokenSettings,
)


class StreamSettings(Block):
    """The durations of a stream, in seconds, and what a process carries."""

    enable_streaming: bool = True
    max_streaming_duration: float = Field(default=120, gt=0)
    stream_lease_seconds: float = Field(default=30, ge=1)
    checkpoint_seconds: float = Field(default=5, gt=0)
    progress_seconds: float = Field(default=10, gt=0)
    replay_seconds: int = Field(default=60, ge=1)
    recovery_seconds: float = Field(default=2, gt=0, description="Between two looks for orphans.")
    recovery_log_patience: float = Field(
        default=60, ge=0, description="How long a recovery waits for Redis before it goes without."
    )
    provider_first_text_seconds: float = Field(default=20, gt=0)
    provider_idle_seconds: float = Field(default=30, gt=0)
    chunk_seconds: float = Field(
        default=0.05, ge=0, le=1, description="Between two reads of an answer; 0: each delta alone."
    )
    max_streams_per_process: int = Field(default=500, ge=1)
    reader_buffer_bytes: int = Field(
        default=256 * 1024, ge=1024, description="How far a reader may fall behind its stream."
    )
    reader_send_seconds: float = Field(
        default=20, gt=0, description="How long a reader may take none of what is sent to it."
    )
    observation_seconds: float = Field(
        default=10, gt=0, description="How long an observation lives without renewal."
    )


class Settings(ServiceSettings):
    """The chat service's settings."""

    accounting_api_url: str = "http://127.0.0.1:3001"
    tokens: TokenSettings = Field(default_factory=TokenSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    aws: AwsSettings = Field(default_factory=AwsSettings)
    streams: StreamSettings = Field(default_factory=StreamSettings)
    aula_failpoints: Path | None = Field(
        default=None, description="A directory whose files arm failpoints; for tests alone."
    )

    @model_validator(mode="after")
    def _no_failpoints_in_production(self) -> Self:
        if self.aula_failpoints is not None and self.aula_env is Environment.PRODUCTION:
            msg = "AULA_FAILPOINTS is for tests and refused in production"
            raise ValueError(msg)
        return self
