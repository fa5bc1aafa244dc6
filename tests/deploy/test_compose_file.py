"""The compose file fits the services' settings, its own schema, and what production asks for."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from deploy.deployment import (
    BOTOCORE,
    COMPOSE,
    COMPOSE_FILE,
    ENV_EXAMPLE,
    ROOT,
    SERVICES,
    environment,
    image_environment,
    interpolated,
    interpolations,
    run_tool,
    settings_class,
    variables,
)

from aula_devstack.environment import GRANTS

CONTAINERS: dict[str, Any] = COMPOSE["services"]
EXAMPLE = re.findall(r"^([A-Z_0-9]+)=(.*)$", ENV_EXAMPLE, re.MULTILINE)
VALUES = {name: f"{name.lower()}-of-more-than-32-bytes-0123456789" for name, _ in EXAMPLE} | {
    "CORS_ORIGIN": "https://school.example",
    "AWS_REGION": "eu-central-1",
}


def test_it_is_valid_by_the_schema_of_the_compose_specification() -> None:
    done = run_tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE_FILE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_each_variable_is_one_of_the_services_settings(service: str) -> None:
    assert environment(service).keys() - variables(service).keys() <= BOTOCORE


@pytest.mark.parametrize("service", SERVICES)
def test_each_required_variable_is_given(service: str) -> None:
    required = {name for name, is_required in variables(service).items() if is_required}
    given = environment(service).keys() | image_environment(service).keys()
    assert required <= given
    # what has a default for development only
    assert {"AUTH_API_URL", "AULA_ENV", "TRUSTED_PROXIES"} <= given
    others = {name for name in variables(service) if name.endswith("_API_URL")}
    assert others <= given
    if service != "auth":
        assert {"SERVICE_CLIENT_ID", "SERVICE_CLIENT_SECRET"} <= given


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_take_what_it_gives(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = image_environment(service) | environment(service)
    for name in variables(service):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        if name in variables(service):
            monkeypatch.setenv(name, interpolated(value, VALUES))
    settings: Any = settings_class(service)()
    assert settings.aula_env == "production"
    assert str(settings.port) == given["PORT"]
    assert settings.host == "0.0.0.0"  # noqa: S104 - inside its container
    stop = parse_seconds(CONTAINERS[service]["stop_grace_period"])
    assert stop >= timedelta(seconds=settings.drain_deadline + 15)


def test_a_drain_of_chat_is_longer_than_the_longest_stream() -> None:
    settings: Any = settings_class("chat")
    longest = settings.model_fields["streams"].default_factory().max_streaming_duration
    # the last four seconds are for what has not ended by itself
    assert float(environment("chat")["DRAIN_DEADLINE"]) >= longest + 4


def parse_seconds(text: str) -> timedelta:
    return timedelta(seconds=int(text.removesuffix("s")))


def test_addresses_are_those_of_the_services_and_their_ports() -> None:
    for container in CONTAINERS:
        for name, value in environment(container).items():
            if name.endswith("_API_URL"):
                service = name.removesuffix("_API_URL").lower()
                assert value == f"http://{service}:{environment(service)['PORT']}"


def test_services_share_a_network_with_what_they_address() -> None:
    for container, declared in CONTAINERS.items():
        for value in environment(container).values():
            for host in re.findall(r"(?://|@)([a-z0-9]+):\d+", str(value)):
                assert set(declared["networks"]) & set(CONTAINERS[host]["networks"]), host


def test_the_services_clients_are_those_that_auth_knows() -> None:
    clients = json.loads(interpolated(environment("auth")["SERVICE_CLIENTS"], VALUES))
    for service in SERVICES[1:]:
        secret = interpolated(environment(service)["SERVICE_CLIENT_SECRET"], VALUES)
        assert clients[environment(service)["SERVICE_CLIENT_ID"]]["secret"] == secret


def test_the_grants_are_those_of_the_development_stack() -> None:
    clients = json.loads(interpolated(environment("auth")["SERVICE_CLIENTS"], VALUES))
    granted = {name: client["scopes"] for name, client in clients.items()}
    assert granted == GRANTS


def test_secrets_have_no_default_and_stand_in_the_example_without_a_value() -> None:
    secret = re.compile("SECRET|PASSWORD|KEY")
    used = list(interpolations(COMPOSE))
    assert {operator for name, operator, _ in used if secret.search(name)} == {":?"}
    required = {name for name, operator, _ in used if operator == ":?"}
    assert required <= {name for name, _ in EXAMPLE}
    assert {name for name, _ in EXAMPLE} <= {name for name, _, _ in used}
    assert {value for _, value in EXAMPLE} == {""}
    assert all(operator for _, operator, _ in used), "neither required nor with a default"


def test_no_secret_is_written_into_the_file() -> None:
    for container in CONTAINERS:
        for name, value in environment(container).items():
            if re.search("SECRET|PASSWORD|_KEY", name):
                assert re.fullmatch(r"\$\{\w+:\?\}", value), name


def test_only_the_gateway_is_published() -> None:
    assert [name for name, declared in CONTAINERS.items() if "ports" in declared] == ["gateway"]
    assert "edge" not in {
        network for name in ("postgres", "mongo", "redis", "s3")
        for network in CONTAINERS[name]["networks"]
    }  # fmt: skip
    for network in ("postgres", "mongo", "redis", "s3"):
        assert COMPOSE["networks"][network]["internal"] is True


@pytest.mark.parametrize("service", [*SERVICES, "gateway", "migrate"])
def test_our_containers_are_hardened(service: str) -> None:
    declared = CONTAINERS[service]
    assert declared["read_only"] is True
    assert declared["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in declared["security_opt"]


def test_all_restart_but_the_migration_and_wait_for_what_is_ready() -> None:
    for name, declared in CONTAINERS.items():
        assert declared["restart"] == ("no" if name == "migrate" else "unless-stopped")
        assert "no-new-privileges:true" in declared["security_opt"]
        for on, condition in declared.get("depends_on", {}).items():
            once = on == "migrate"
            wanted = "service_completed_successfully" if once else "service_healthy"
            assert condition == {"condition": wanted}
            if not once and on not in SERVICES:  # theirs is in the image
                assert CONTAINERS[on]["healthcheck"]["test"]


def test_images_are_pinned_to_a_version() -> None:
    for name, declared in CONTAINERS.items():
        if "build" not in declared:
            assert re.search(r":v?\d", declared["image"]), name


def test_data_is_kept_in_declared_volumes() -> None:
    kept = {"postgres": "/var/lib/postgresql", "mongo": "/data/db", "redis": "/data", "s3": "/data"}
    for name, path in kept.items():
        targets = dict(volume.rsplit(":", 1) for volume in CONTAINERS[name]["volumes"])
        assert path in targets.values()
        assert targets.keys() <= COMPOSE["volumes"].keys()


def test_the_gateways_placeholders_are_all_provided() -> None:
    caddyfile = (ROOT / "deploy" / "gateway" / "Caddyfile").read_text()
    placeholders = set(re.findall(r"\{\$(\w+)", caddyfile))
    assert placeholders
    assert placeholders == environment("gateway").keys()
    assert "./deploy/gateway/Caddyfile:/etc/caddy/Caddyfile:ro" in CONTAINERS["gateway"]["volumes"]
