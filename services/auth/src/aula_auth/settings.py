"""The settings of auth."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from aula_common.settings import MongoSettings, ServiceSettings, TokenSettings, require_strength


class ServiceClientSettings(BaseModel):
    """A service that may have tokens: its secret, and its scopes at each service it calls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret: Annotated[SecretStr, Field(min_length=16)]
    scopes: dict[str, tuple[str, ...]]


class Settings(ServiceSettings):
    """Everything that an operator can set; times are in the unit that the name says."""

    port: int = Field(default=3000, ge=0, le=65535)
    tokens: TokenSettings = Field(default_factory=TokenSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)

    jwt_refresh_secret: SecretStr
    signing_keys_secret: SecretStr | None = None
    service_clients: dict[str, ServiceClientSettings] = Field(default_factory=dict)
    registration_open: bool = True

    access_token_seconds: int = Field(default=900, ge=60, le=3600)
    refresh_idle_days: float = Field(default=14, gt=0)
    refresh_absolute_days: float = Field(default=90, gt=0)
    signing_key_days: float = Field(default=30, gt=0)
    audit_days: float = Field(default=365, gt=0)

    argon2_memory_kib: int = Field(default=19_456, ge=8)
    argon2_passes: int = Field(default=2, ge=1)
    argon2_lanes: int = Field(default=1, ge=1)
    argon2_workers: int = Field(default=2, ge=1)
    argon2_queue: int = Field(default=64, ge=0)

    attempt_window_seconds: int = Field(default=300, ge=1)
    sign_in_failures: int = Field(default=10, ge=1)
    sign_in_failures_per_address: int = Field(default=300, ge=1)
    registrations_per_address: int = Field(default=300, ge=1)

    @model_validator(mode="after")
    def _safe(self) -> Self:
        require_strength(self.jwt_refresh_secret, "JWT_REFRESH_SECRET")
        require_strength(self.signing_keys_secret, "SIGNING_KEYS_SECRET")
        if self.signing_keys_secret is None and self.tokens.jwt_access_secret is None:
            msg = "set SIGNING_KEYS_SECRET, or JWT_ACCESS_SECRET for the shared-secret mode"
            raise ValueError(msg)
        return self

    @property
    def access_token_lifetime(self) -> timedelta:
        """How long an access token lives."""
        return timedelta(seconds=self.access_token_seconds)
