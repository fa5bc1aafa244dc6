"""What is unsafe is refused at start, and the refusal tells no secret."""

import os
from typing import Any

import pytest
from pydantic import ValidationError

from aula_common.settings import MongoSettings, ServiceSettings, TokenSettings, TraceSettings

SHORT = "planted-secret"


def build(**values: Any) -> ServiceSettings:
    return ServiceSettings(**{"port": 3000, **values})


def test_production_is_the_default() -> None:
    assert build().aula_env == "production"


def test_variables_are_the_fields_names_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "3009")
    monkeypatch.setenv("DRAIN_DEADLINE", "7.5")
    monkeypatch.setenv("CORS_ORIGIN", "https://a.example, http://localhost:5173,")
    monkeypatch.setenv("LOG_LEVEL", "")
    settings = ServiceSettings()
    assert (settings.port, settings.drain_deadline) == (3009, 7.5)
    assert settings.cors_origin == ("https://a.example", "http://localhost:5173")
    assert settings.log_level == "INFO"  # empty is unset


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "https://*.example", "https://a.example/", "a.example", "https://a.example/app"],
)
def test_an_origin_that_opens_too_much_or_never_matches_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="CORS_ORIGIN"):
        build(cors_origin=f"https://school.example,{origin}")


def test_a_wildcard_of_proxies_is_refused_in_production_only() -> None:
    with pytest.raises(ValidationError, match="TRUSTED_PROXIES"):
        build(trusted_proxies="*")
    assert build(trusted_proxies="*", aula_env="development").trusted_proxies == "*"


def test_a_short_shared_secret_is_refused_without_being_shown() -> None:
    with pytest.raises(ValidationError, match="32 bytes") as caught:
        TokenSettings(jwt_access_secret=SHORT)
    assert SHORT not in str(caught.value)
    assert SHORT not in repr(TokenSettings(service_client_secret=SHORT))


def test_a_refusal_shows_no_value_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_URI", f"mongodb://a:{SHORT}@db")
    monkeypatch.setenv("MONGO_POOL_SIZE", f"not-a-number-{SHORT}")
    with pytest.raises(ValidationError) as caught:
        MongoSettings()
    assert SHORT not in str(caught.value)


def test_what_has_no_default_is_required() -> None:
    assert "MONGO_URI" not in os.environ
    with pytest.raises(ValidationError, match="mongo_uri"):
        MongoSettings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        build().port = 1  # type: ignore[misc]  # what must not work


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://a/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_made_where_there_is_an_address_for_them(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    wanted: bool,  # noqa: FBT001 - a parameter of the case
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert TraceSettings().wanted is wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_EXPORTER", "console"),
    ],
)
def test_what_would_lose_all_spans_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        TraceSettings()
