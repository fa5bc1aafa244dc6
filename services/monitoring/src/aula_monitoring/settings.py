"""What monitoring is configured by."""

from pydantic import Field

from aula_common.settings import Block, MongoSettings, ServiceSettings, TokenSettings


class SupervisionTokenSettings(TokenSettings):
    """Sign-outs are asked for more often than elsewhere: they end running observations."""

    revocation_poll_seconds: float = Field(default=3, gt=0)


class ObservationSettings(Block):
    """How observations are held and ended; all times in seconds.

    An observation ends at the latest `observation_verify_seconds` plus two checks after its
    relationship did, also when the database cannot be asked.
    """

    observation_check_seconds: float = Field(default=1, gt=0, le=2)
    observation_verify_seconds: float = Field(default=2.5, gt=0, le=3)
    observation_renew_seconds: float = Field(default=3, gt=0)
    observation_resume_seconds: float = Field(
        default=60, ge=0, description="How long a lost chat is tried again."
    )
    observation_idle_seconds: float = Field(
        default=40, gt=0, description="How long chat may be silent; it comments every 15 s."
    )
    max_observations: int = Field(default=1000, ge=1)
    max_observations_per_observer: int = Field(default=100, ge=1)


class Settings(ServiceSettings):
    """The whole of it."""

    port: int = Field(default=3003, ge=0, le=65535)
    chat_api_url: str = "http://127.0.0.1:3002"
    accounting_api_url: str = "http://127.0.0.1:3001"
    tokens: SupervisionTokenSettings = Field(default_factory=SupervisionTokenSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    observations: ObservationSettings = Field(default_factory=ObservationSettings)
