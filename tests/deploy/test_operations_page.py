"""The table of variables in docs/operations.md is that of the settings."""

import re
from collections import Counter
from enum import Enum

from deploy.deployment import ROOT, SERVICES, fields, settings_class

PAGE = (ROOT / "docs" / "operations.md").read_text()
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| ([a-z, ]+) \| (.*?) \| (.+) \|$", re.MULTILINE)


def shown(value: object) -> str:
    """A default as the page writes it; empty for none."""
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"{value:g}" if value < 1e5 else f"{value}"
    return f"`{value}`" if isinstance(value, str) and value else ""


def expected() -> dict[str, tuple[str, str]]:
    """Each variable with its services and its default, and who differs."""
    defaults: dict[str, dict[str, str]] = {}
    for service in SERVICES:
        for name, block, required in fields(settings_class(service)):
            default = block.model_fields[name.lower()].default
            text = "required" if required else shown(default)
            defaults.setdefault(name, {})[service] = text
    return {name: (_services(found), _defaults(found)) for name, found in defaults.items()}


def _services(found: dict[str, str]) -> str:
    return "all" if len(found) == len(SERVICES) else ", ".join(found)


def _defaults(found: dict[str, str]) -> str:
    if len(set(found.values())) == len(found) > 1:
        return ", ".join(f"{service} {default or 'none'}" for service, default in found.items())
    usual = Counter(found.values()).most_common(1)[0][0]
    others = [f"{service} {default}" for service, default in found.items() if default != usual]
    return f"{usual} ({', '.join(others)})" if others else usual


def test_the_table_holds_every_variable_of_every_service_with_its_default() -> None:
    table = {name: (services, default) for name, services, default, _ in ROW.findall(PAGE)}
    assert table == expected()


def test_no_variable_is_listed_twice() -> None:
    names = [row[0] for row in ROW.findall(PAGE)]
    assert len(names) == len(set(names))


def test_the_page_says_what_was_not_run() -> None:
    assert "never built" in PAGE
    assert "never started" in PAGE
