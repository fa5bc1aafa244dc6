"""What the tests of the deployment read: the compose file, the Dockerfiles, the settings."""

import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]
SERVICES = ("auth", "accounting", "chat", "monitoring")
COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
# read by botocore and not by our settings
BOTOCORE = frozenset({"AWS_ENDPOINT_URL_S3"})
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(:[?-])?([^}]*)\}")


def dockerfile(service: str) -> str:
    return (ROOT / "services" / service / "Dockerfile").read_text()


def environment(service: str) -> dict[str, str]:
    """A container's variables in the compose file, not interpolated."""
    return dict(COMPOSE["services"][service].get("environment", {}))


def image_environment(service: str) -> dict[str, str]:
    """The variables that the service's image sets."""
    return dict(re.findall(r"^\s+(?:ENV )?([A-Z]+)=(\S+)", dockerfile(service), re.MULTILINE))


def settings_class(service: str) -> type[BaseSettings]:
    found: type[BaseSettings] = importlib.import_module(f"aula_{service}.settings").Settings
    return found


def fields(settings: type[BaseSettings]) -> Iterator[tuple[str, type[BaseSettings], bool]]:
    """Each variable of the settings and their blocks: its name, its block, whether required."""
    for name, field in settings.model_fields.items():
        block = field.annotation
        if isinstance(block, type) and issubclass(block, BaseSettings):
            yield from fields(block)
        else:
            yield name.upper(), settings, field.is_required()


def variables(service: str) -> dict[str, bool]:
    """The service's variables, and whether each is required."""
    return {name: required for name, _, required in fields(settings_class(service))}


def interpolations(value: Any) -> Iterator[tuple[str, str, str]]:
    """Every `${NAME}`, `${NAME:?}` or `${NAME:-default}` in it: name, operator, default."""
    if isinstance(value, str):
        yield from _VARIABLE.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from interpolations(item)
    elif isinstance(value, list):
        for item in value:
            yield from interpolations(item)


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """The text as Compose would pass it, with these values for what has no default."""

    def replace(match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        return values.get(name) or (default if operator == ":-" else values[name])

    return _VARIABLE.sub(replace, text).replace("$$", "$")


def run_tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of the development environment; its output is text."""
    program = shutil.which(name, path=str(Path(sys.executable).parent))
    assert program, f"{name} is a development dependency"
    words = [program, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - ours
