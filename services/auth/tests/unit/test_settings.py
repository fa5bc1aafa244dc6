"""Settings: what is refused at start."""

from typing import Any

import pytest
from auth_builders import make_settings
from pydantic import SecretStr, ValidationError

from aula_common.settings import TokenSettings


def test_complete_settings_are_accepted() -> None:
    settings = make_settings()
    assert settings.port == 3000
    assert settings.registration_open


@pytest.mark.parametrize(
    "overrides",
    [
        {"jwt_refresh_secret": SecretStr("planted")},
        {"signing_keys_secret": SecretStr("planted")},
        {"signing_keys_secret": None},
        {"service_clients": {"chat": {"secret": "planted", "scopes": {}}}},
        {"service_clients": {"chat": {"secret": "x" * 16, "scopes": {}, "more": 1}}},
        {"access_token_seconds": 0},
    ],
)
def test_unsafe_settings_are_refused_without_showing_them(overrides: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        make_settings(**overrides)
    assert "planted" not in str(refused.value)


def test_shared_secret_needs_no_signing_keys() -> None:
    tokens = TokenSettings(jwt_access_secret=SecretStr("x" * 32))
    assert make_settings(tokens=tokens, signing_keys_secret=None).signing_keys_secret is None


def test_settings_come_from_the_variables_that_operators_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from aula_auth.settings import Settings  # noqa: PLC0415 - beside what it is about

    variables = {
        "PORT": "3005",
        "MONGO_URI": "mongodb://localhost/x",
        "JWT_REFRESH_SECRET": "r" * 32,
        "SIGNING_KEYS_SECRET": "s" * 32,
        "JWT_ISSUER": "school",
        "REGISTRATION_OPEN": "false",
        "SERVICE_CLIENTS": '{"chat": {"secret": "0123456789abcdef", "scopes": {"auth": ["a"]}}}',
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.port == 3005
    assert settings.tokens.jwt_issuer == "school"
    assert not settings.registration_open
    assert settings.service_clients["chat"].scopes == {"auth": ("a",)}
