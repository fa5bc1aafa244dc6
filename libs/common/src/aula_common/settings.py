"""Blocks of settings, read from the environment under the names that operators know.

A service composes its settings of these blocks; nothing is read at import.
"""

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_MIN_SECRET_BYTES = 32
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


class Environment(StrEnum):
    """Where the service runs; production refuses what is unsafe."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Block(BaseSettings):
    """Base of every block: frozen; each field is the variable of the same name in capitals."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        validate_default=True,
        hide_input_in_errors=True,  # what is refused at start may be a secret
    )


def require_strength(secret: SecretStr | None, name: str) -> None:
    """Raise ValueError unless the secret is absent or has 32 bytes at least."""
    if secret is not None and len(secret.get_secret_value().encode()) < _MIN_SECRET_BYTES:
        msg = f"{name} must have {_MIN_SECRET_BYTES} bytes at least"
        raise ValueError(msg)


class TraceSettings(Block):
    """Where traces go, by OpenTelemetry's own variables; without an address there are none.

    Its SDK reads the others (sampling, headers, queue, deadlines) by itself.
    """

    otel_exporter_otlp_endpoint: str | None = None
    otel_exporter_otlp_traces_endpoint: str | None = None
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = "http/protobuf"
    otel_exporter_otlp_traces_protocol: Literal["http/protobuf"] = "http/protobuf"
    otel_traces_exporter: Literal["otlp", "none"] = "otlp"
    otel_sdk_disabled: bool = False

    @property
    def wanted(self) -> bool:
        """Whether spans are to be made and sent."""
        address = self.otel_exporter_otlp_traces_endpoint or self.otel_exporter_otlp_endpoint
        return bool(address) and self.otel_traces_exporter == "otlp" and not self.otel_sdk_disabled

    @field_validator("otel_exporter_otlp_endpoint", "otel_exporter_otlp_traces_endpoint")
    @classmethod
    def _require_address(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/]", value):
            msg = "an address of OpenTelemetry's collector is http://… or https://…"
            raise ValueError(msg)
        return value


class ServiceSettings(Block):
    """What every service has: where it listens, what it logs, how much it reads, how it ends."""

    aula_env: Environment = Environment.PRODUCTION
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    cors_origin: Annotated[tuple[str, ...], NoDecode] = ()
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    drain_deadline: float = Field(default=130, ge=0, description="Seconds for running work to end.")
    trusted_proxies: str = Field(
        default="127.0.0.1", description="Addresses whose X-Forwarded-For is believed."
    )
    traces: TraceSettings = Field(default_factory=TraceSettings)

    @field_validator("cors_origin", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("cors_origin")
    @classmethod
    def _require_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ORIGIN.fullmatch(origin) for origin in value):
            msg = (
                "CORS_ORIGIN lists origins as https://host[:port]; a wildcard or null would open"
                " every user's session, and a path never matches"
            )
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _believe_proxies_only(self) -> Self:
        if self.aula_env is Environment.PRODUCTION and "*" in self.trusted_proxies:
            msg = "TRUSTED_PROXIES names addresses: with a wildcard anyone forges X-Forwarded-For"
            raise ValueError(msg)
        return self


class TokenSettings(Block):
    """Whose tokens are believed, and who this service is when it calls another.

    With `JWT_ACCESS_SECRET` tokens are HS256 under that shared secret, and whoever can verify
    one can also sign one; without it they are verified by the keys that auth publishes.
    """

    jwt_issuer: str = "aula"
    jwt_access_secret: SecretStr | None = None
    auth_api_url: str = "http://127.0.0.1:3000"
    service_client_id: str = ""
    service_client_secret: SecretStr | None = None
    revocation_poll_seconds: float = Field(default=20, gt=0)

    @model_validator(mode="after")
    def _strong(self) -> Self:
        require_strength(self.jwt_access_secret, "JWT_ACCESS_SECRET")
        return self


class MongoSettings(Block):
    """MongoDB. A path in the address names the database and wins over the service's default."""

    mongo_uri: SecretStr
    mongo_pool_size: int = Field(default=50, ge=1)
    mongo_timeout_seconds: float = Field(default=5, gt=0)
    mongo_idle_seconds: float = Field(
        default=60, gt=0, description="A connection unused for so long is not used again."
    )


class PostgresSettings(Block):
    """PostgreSQL, as `postgresql+asyncpg://…`."""

    database_url: SecretStr
    database_pool_size: int = Field(default=10, ge=1)
    database_pool_timeout_seconds: float = Field(default=5, gt=0)
    database_connect_timeout_seconds: float = Field(default=3, gt=0)
    database_statement_timeout_ms: int = Field(default=5_000, ge=1)
    database_lock_timeout_ms: int = Field(default=3_000, ge=1)
    database_idle_in_transaction_timeout_ms: int = Field(default=10_000, ge=1)


class RedisSettings(Block):
    """Redis, as `redis://…`."""

    redis_url: SecretStr
    redis_timeout_seconds: float = Field(default=1, gt=0)


class AwsSettings(Block):
    """AWS. Addresses come from the region, unless botocore's own variables say otherwise."""

    aws_region: str = "us-east-1"
    aws_access_key_id: str | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None
    aws_endpoint_url_bedrock_runtime: str | None = None
    s3_bucket_name: str | None = None
