"""The table of metrics in docs/operations.md is that of the four running applications."""

import importlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pymongo
import pytest
from deploy.deployment import ROOT, SERVICES, settings_class
from fastapi import FastAPI

from aula_accounting.factory import create_context
from aula_common.clock import SystemClock
from aula_common.metrics import Metrics

PAGE = (ROOT / "docs" / "operations.md").read_text()
ROW = re.compile(
    r"^\| `(aula_[a-z_]+)` \| (counter|gauge|histogram) \| ([a-z, ]+) \| ([`a-z, ]*) \| (.+) \|$",
    re.MULTILINE,
)
SUFFIX = {"counter": "_total", "gauge": "", "histogram": ""}
DURATION = re.compile(r"(^|_)seconds(_total)?$")


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, postgres_database: str, mongo_database: str, redis_url: str
) -> None:
    """What the settings of all four need, on servers that are there."""
    given = {
        "AULA_ENV": "development",
        "PORT": "0",
        "DATABASE_URL": postgres_database,
        "MONGO_URI": mongo_database,
        "REDIS_URL": redis_url,
        "JWT_ACCESS_SECRET": "of-a-test-and-longer-than-32-bytes",
        "JWT_REFRESH_SECRET": "of-a-test-too-and-longer-than-32-bytes",
        "SERVICE_CLIENT_ID": "test",
        "SERVICE_CLIENT_SECRET": "of-a-test-at-least-16-bytes",
        **{f"{name.upper()}_API_URL": "http://127.0.0.1:1" for name in SERVICES},  # nobody is asked
        "AWS_ACCESS_KEY_ID": "AKIDTEST",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)


@asynccontextmanager
async def running(service: str) -> AsyncIterator[FastAPI]:
    """The service's application, started."""
    settings: Any = settings_class(service)()
    if service == "accounting":
        async with create_context(
            database=settings.database,
            rules=settings.credits,
            clock=SystemClock(),
            metrics=Metrics(),
        ) as context:
            await context.migrate()
    app: FastAPI = importlib.import_module(f"aula_{service}.main").create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


def registered(metrics: Metrics) -> Iterator[tuple[str, str, str, str]]:
    """Each metric: its name as it is scraped, its kind, its labels, its help."""
    for collector in list(metrics.registry._collector_to_names):
        labels = getattr(collector, "_labelnames", ())
        described: Any = getattr(collector, "describe", collector.collect)
        for family in described():
            shown = ", ".join(f"`{label}`" for label in labels)
            yield family.name + SUFFIX[family.type], family.type, shown, family.documentation


async def test_the_table_holds_every_metric_of_every_service(
    environment: None, mongo_database: str
) -> None:
    found: dict[tuple[str, str, str], list[str]] = {}
    for service in SERVICES:
        async with running(service) as app:
            for name, kind, labels, help_text in registered(app.state.metrics):
                found.setdefault((name, kind, labels), []).append(service)
                # the unit stands in the help as well
                assert not DURATION.search(name) or "seconds" in help_text, name
        with pymongo.MongoClient[dict[str, object]](mongo_database) as client:
            client.drop_database(client.get_default_database().name)  # the next has its own indexes
    expected = {
        (name, kind, labels): "all" if len(of) == len(SERVICES) else ", ".join(of)
        for (name, kind, labels), of in found.items()
    }
    table = {(name, kind, labels): of for name, kind, of, labels, _ in ROW.findall(PAGE)}
    assert table == expected


def test_every_row_of_the_table_is_read_and_no_metric_is_listed_twice() -> None:
    names = [row[0] for row in ROW.findall(PAGE)]
    assert names == re.findall(r"^\| `(aula_\w+)`", PAGE, re.MULTILINE)
    assert len(names) == len(set(names))


def test_what_the_text_says_to_watch_is_in_the_table() -> None:
    text = ROW.sub("", PAGE)
    names = {row[0] for row in ROW.findall(PAGE)}
    assert set(re.findall(r"aula_[a-z]+_[a-z_]+", text)) - names <= {
        f"{name}_{part}" for name in names for part in ("bucket", "count", "sum")
    } | {"aula_auth", "aula_accounting", "aula_chat", "aula_monitoring"}
