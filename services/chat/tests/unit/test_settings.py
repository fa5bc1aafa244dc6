"""What the settings refuse."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from aula_chat.settings import Settings
from aula_common.settings import Environment, MongoSettings, RedisSettings


def settings(environment: Environment, failpoints: Path | None) -> Settings:
    return Settings(
        aula_env=environment,
        port=3002,
        mongo=MongoSettings(mongo_uri=SecretStr("mongodb://localhost")),
        redis=RedisSettings(redis_url=SecretStr("redis://localhost")),
        aula_failpoints=failpoints,
    )


def test_failpoints_are_refused_in_production(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="AULA_FAILPOINTS"):
        settings(Environment.PRODUCTION, tmp_path)


def test_failpoints_are_off_unless_asked_for(tmp_path: Path) -> None:
    assert settings(Environment.PRODUCTION, None).aula_failpoints is None
    assert settings(Environment.DEVELOPMENT, tmp_path).aula_failpoints == tmp_path
