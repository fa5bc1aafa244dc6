"""A start before the database is there, and an end amid observations."""

import asyncio

from monitoring_far_side import FarSide
from monitoring_platform import (
    PATIENCE,
    SESSION,
    STUDENT,
    SUPERVISOR,
    Platform,
    build_settings,
    running_platform,
)
from monitoring_servers import serving

from aula_devstack.servers.mongo import Mongo
from aula_monitoring.main import create_app

FOLLOW = f"/api/monitoring/students/{STUDENT}/sessions/{SESSION}/observe?follow=true"


async def test_it_starts_without_its_database_and_is_ready_once_that_answers(
    mongo_server: Mongo,
) -> None:
    await asyncio.to_thread(mongo_server.stop)
    async with running_platform(f"{mongo_server.url}aula_monitoring") as platform:
        assert (await platform.ask("GET", "/livez", by=None)).status == 200
        assert (await platform.ask("GET", "/readyz", by=None)).status == 503
        refused = await platform.ask("GET", "/api/monitoring/students", by=SUPERVISOR)
        assert refused.status == 503
        mongo_server.start()  # from the main thread, as it demands
        async with asyncio.timeout(PATIENCE):
            while (await platform.ask("GET", "/readyz", by=None)).status != 200:  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.05)
        await platform.relate()
        indexes = await platform.database["relationships"].index_information()
        assert indexes["active_pair"]["unique"]


async def test_a_drain_sends_observers_to_another_instance_and_completes_the_audit(
    mongo_database: str,
) -> None:
    async with running_platform(mongo_database) as platform:
        await platform.relate()
        async with platform.observing(FOLLOW) as observer:
            await observer.read_until(b"history-end")
            await platform.app.state.drain.run(5)
            received = await observer.read_all()
            assert received.endswith(
                b'event: reconnect\ndata: {"reason":"drain","retryAfterMs":1000}\n\n'
            )
        assert (await platform.ask("GET", FOLLOW, by=SUPERVISOR)).status == 503
        assert (await platform.ask("GET", "/readyz", by=None)).status == 503
        [entry] = await platform.ended_audit()
        assert entry["reason"] == "drain"


async def test_the_end_of_the_process_stores_the_ends_of_its_observations(
    mongo_database: str, platform: Platform
) -> None:
    await platform.relate()
    far: FarSide = platform.far
    app = create_app(build_settings(mongo_database, platform.far_server.url))
    async with serving(app, lifespan="on") as server:
        headers = platform.headers(SUPERVISOR)
        async with platform.http.get(server.url + FOLLOW, headers=headers) as response:
            assert response.status == 200
            assert far.observing == 1
            await server.stop()
    assert far.observing == 0
    [entry] = await platform.ended_audit()
    assert entry["reason"] in {"left", "drain"}
