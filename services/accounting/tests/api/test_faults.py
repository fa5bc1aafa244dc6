"""PostgreSQL fails under the running service: bounded answers, one effect, recovery by itself."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from accounting_builders import SONNET, Api, make_settings, open_api, open_bank, plain_url
from sqlalchemy.pool import AsyncAdaptedQueuePool

from aula_accounting.domain.errors import SchemaError
from aula_accounting.main import create_app
from aula_devstack.servers.postgres import Postgres
from aula_devstack.testing.tcp_proxy import Strike, TcpProxy, tcp_proxy

_BOUND_SECONDS = 12


async def _until_answered(call: Any, status: int) -> Any:
    deadline = time.monotonic() + 30
    while True:
        answer = await call()
        if answer.status_code == status:
            return answer
        assert answer.status_code == 503, answer.text
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def _terminate_backends(url: str) -> int:
    connection = await asyncpg.connect(plain_url(url))
    try:
        ended: int = await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return ended
    finally:
        await connection.close()


async def test_terminated_backends_cost_a_503_at_most(api: Api, postgres_database: str) -> None:
    await api.give("usr_a", 1000)
    for number in range(5):
        session_id = f"str_{number}"
        assert await _terminate_backends(postgres_database) >= 1
        await _until_answered(lambda sid=session_id: api.initialize("usr_a", sid), 201)
        assert await _terminate_backends(postgres_database) >= 1
        await _until_answered(
            lambda sid=session_id: api.finalize("usr_a", sid, outputTokens=300), 200
        )
    assert (await api.get("/reconciliation", api.admin)).json()["balanced"]
    assert (await api.context.credits.get_balance("usr_a")).available == 995


async def test_a_backend_terminated_amid_a_request_is_a_503_and_the_retry_has_one_effect(
    api: Api, postgres_database: str
) -> None:
    await api.give("usr_a", 1000)
    blocker = await asyncpg.connect(plain_url(postgres_database))
    try:
        async with blocker.transaction():
            await blocker.execute("SELECT 1 FROM accounts FOR UPDATE")
            request = asyncio.create_task(api.initialize("usr_a", "str_1"))
            waiting = 0
            while not waiting:
                await blocker.execute("SELECT pg_stat_clear_snapshot()")
                waiting = await blocker.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            answer = await request
    finally:
        await blocker.close()
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["code"] == "unavailable"
    await _until_answered(lambda: api.initialize("usr_a", "str_1"), 201)
    assert (await api.context.credits.get_balance("usr_a")).held == 4


async def test_a_swallowed_acknowledgement_of_a_commit_leaves_one_effect(
    postgres_database: str,
) -> None:
    with tcp_proxy(postgres_database) as proxy:
        async with open_api(proxy.through(postgres_database)) as api:
            await _check_one_effect_each(api, proxy)


async def _check_one_effect_each(api: Api, proxy: TcpProxy) -> None:
    grant = {"userId": "usr_a", "credits": 10}
    ids = {"sessionId": "str_1", "userId": "usr_a"}
    for number, (path, body, headers, status) in enumerate(
        (
            ("/credits/allocate", grant, api.admin, 201),
            (
                "/streaming/initialize",
                {**ids, "modelId": SONNET, "estimatedTokens": 1000},
                api.chat,
                201,
            ),
            ("/streaming/finalize", {**ids, "actualTokens": 300}, api.chat, 200),
            ("/streaming/abort", {**ids, "sessionId": "str_2"}, api.chat, 200),
        ),
        start=1,
    ):
        if path.startswith("/streaming"):  # one statement commits: asked again, it is told
            proxy.arm(Strike.SWALLOW, b"usr_a")
        else:
            proxy.arm(Strike.SWALLOW, b"usr_a", b"COMMIT")
        lost = await api.post(path, body, headers, key="k")
        expected = status if path.startswith("/streaming") else 503
        assert (lost.status_code, proxy.strikes) == (expected, number), lost.text
        first = await api.post(path, body, headers, key="k")
        again = await api.post(path, body, headers, key="k")
        assert first.status_code == status
        assert first.content == again.content
    balance = await api.context.credits.get_balance("usr_a")
    assert (balance.available, balance.held) == (9, 0)
    assert (await api.get("/reconciliation", api.admin)).json()["balanced"]


async def test_a_swallowed_acknowledgement_leaves_one_effect_of_what_has_a_key(
    postgres_database: str,
) -> None:
    with tcp_proxy(postgres_database) as proxy:
        async with open_api(proxy.through(postgres_database)) as api:
            await _check_one_effect_of_keys(api, proxy)


async def _check_one_effect_of_keys(api: Api, proxy: TcpProxy) -> None:
    first, second = await api.give("usr_a", 10), await api.give("usr_a", 10)
    quota = {"scope": "user", "subjectId": "usr_a", "metric": "sessions", "period": "day"}
    quotas = {"quotas": [{**quota, "limit": 9}]}
    await api.http.put("/api/accounting/quotas", json=quotas, headers=api.admin)
    usage = {"userId": "usr_a", "modelId": SONNET, "inputTokens": 1000, "outputTokens": 0}
    for number, (path, body, headers) in enumerate(
        (
            ("/usage/track", usage, api.chat),
            ("/quotas/consume", {"userId": "usr_a", "sessions": 2}, api.chat),
            (f"/credits/allocations/{first}/revoke", None, api.admin),
            (f"/credits/allocations/{second}/revoke", None, api.admin),
        ),
        start=1,
    ):
        proxy.arm(Strike.SWALLOW, b"usr_a", b"COMMIT")
        lost = await api.post(path, body, headers, key=f"k{number}")
        assert (lost.status_code, proxy.strikes) == (503, number), lost.text
        answers = [await api.post(path, body, headers, key=f"k{number}") for _ in range(2)]
        assert answers[0].is_success, answers[0].text
        assert answers[0].content == answers[1].content
    kinds = [(kind["kind"], kind["amount"]) for kind in await _ledger(api)]
    assert sorted(kinds) == [
        *[("allocate", 10)] * 2,
        ("charge", 3),
        ("hold", 3),
        ("revoke", 7),
        ("revoke", 10),
        ("settle", 3),
    ]
    [standing] = (await api.get("/quotas", api.person("usr_a"))).json()["standing"]
    assert standing["used"] == 2
    assert (await api.get("/reconciliation", api.admin)).json()["balanced"]


async def _ledger(api: Api) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = (await api.get("/ledger", api.admin)).json()["entries"]
    return entries


async def test_an_account_locked_for_long_is_a_503_within_the_lock_timeout(
    postgres_database: str,
) -> None:
    async with open_api(postgres_database, database_lock_timeout_ms=300) as api:
        await api.give("usr_a", 1000)
        blocker = await asyncpg.connect(plain_url(postgres_database))
        try:
            async with blocker.transaction():
                await blocker.execute("SELECT 1 FROM accounts FOR UPDATE")
                answer = await api.initialize("usr_a", "str_1")
        finally:
            await blocker.close()
        assert answer.status_code == 503
        assert "SELECT" not in answer.text
        assert (await api.initialize("usr_a", "str_1")).status_code == 201


async def test_a_whole_pool_that_is_busy_is_a_503_and_not_a_hang(postgres_database: str) -> None:
    async with open_api(
        postgres_database, database_pool_size=2, database_pool_timeout_seconds=0.3
    ) as api:
        await api.give("usr_a", 1000)
        blocker = await asyncpg.connect(plain_url(postgres_database))
        try:
            async with blocker.transaction():
                await blocker.execute("SELECT 1 FROM accounts FOR UPDATE")
                answers = await asyncio.gather(
                    *(api.initialize("usr_a", f"str_{number}") for number in range(6))
                )
        finally:
            await blocker.close()
        assert {answer.status_code for answer in answers} == {503}
        assert (await api.initialize("usr_a", "str_1")).status_code == 201


async def test_at_rest_no_connection_is_in_a_transaction_and_the_pool_is_whole(
    api: Api, postgres_database: str
) -> None:
    await api.give("usr_a", 1000)
    await asyncio.gather(
        *(api.initialize("usr_a", f"str_{number}") for number in range(30)),
        *(api.finalize("usr_a", f"str_{number}") for number in range(30)),
        *(api.get("/credits", api.person("usr_a")) for _ in range(30)),
    )
    connection = await asyncpg.connect(plain_url(postgres_database))
    try:
        states = await connection.fetch(
            "SELECT state FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
    assert {row["state"] for row in states} == {"idle"}
    pool = api.context.engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    assert pool.checkedout() == 0


@pytest.fixture
async def own(postgres_server: Postgres) -> AsyncIterator[Api]:
    """The application on a server of the test's own, to stop and start."""
    url = postgres_server.database_url("postgres", scheme="postgresql+asyncpg")
    async with open_api(
        url,
        database_connect_timeout_seconds=1,
        database_pool_timeout_seconds=1,
        database_statement_timeout_ms=1500,
    ) as api:
        yield api


async def _requests(api: Api) -> list[int]:
    """One request of each kind, each bounded in time; their statuses."""
    started = time.monotonic()
    answers = [
        await api.initialize("usr_a", "str_away"),
        await api.finalize("usr_a", "str_1"),
        await api.get("/credits", api.person("usr_a")),
        await api.http.get("/readyz"),
    ]
    assert time.monotonic() - started < 4 * _BOUND_SECONDS
    for answer in answers:
        if answer.status_code == 503:
            assert "Retry-After" in answer.headers
            assert "postgres" not in answer.text.lower()
    return [answer.status_code for answer in answers]


async def test_a_stopped_server_is_a_quick_503_and_comes_back_without_a_restart(
    own: Api, postgres_server: Postgres
) -> None:
    await own.give("usr_a", 1000)
    await own.initialize("usr_a", "str_1")
    postgres_server.stop()
    started = time.monotonic()
    assert await _requests(own) == [503, 503, 503, 503]
    assert time.monotonic() - started < 5
    assert (await own.http.get("/livez")).status_code == 200
    postgres_server.start()
    await _until_answered(lambda: own.finalize("usr_a", "str_1", outputTokens=300), 200)
    assert (await own.http.get("/readyz")).status_code == 200
    assert (await own.get("/reconciliation", own.admin)).json()["balanced"]


def _stop_immediately(server: Postgres) -> None:
    server.send_signal(signal.SIGQUIT)  # as `pg_ctl stop -m immediate` does
    assert server.wait_ended(30)


@pytest.mark.parametrize("end", [Postgres.kill, _stop_immediately], ids=["killed", "immediate"])
async def test_a_server_that_ends_at_once_loses_nothing_that_was_answered(
    own: Api, postgres_server: Postgres, end: Callable[[Postgres], None]
) -> None:
    await own.give("usr_a", 1000)
    answered: dict[str, int] = {}
    twenty_answered = asyncio.Event()

    async def stream(number: int) -> None:
        session_id = f"str_{number}"
        answer = await own.initialize("usr_a", session_id)
        answered[session_id] = answer.status_code
        if len(answered) == 20:
            twenty_answered.set()
        if answer.status_code == 201:
            ended = await own.finalize("usr_a", session_id, outputTokens=300)
            assert ended.status_code in (200, 503)

    async def streams() -> None:
        for number in range(400):
            await stream(number)
            if answered[f"str_{number}"] == 503:
                return

    running = asyncio.create_task(streams())
    await twenty_answered.wait()
    end(postgres_server)
    await running
    assert 503 in answered.values()
    postgres_server.start()
    for session_id, status in answered.items():
        if status == 201:
            ended = await _until_answered(
                lambda sid=session_id: own.finalize("usr_a", sid, outputTokens=300), 200
            )
            assert ended.json()["actualCredits"] == 1
    assert (await own.get("/reconciliation", own.admin)).json()["balanced"]


async def test_a_frozen_server_is_a_bounded_503(own: Api, postgres_server: Postgres) -> None:
    await own.give("usr_a", 1000)
    await own.initialize("usr_a", "str_1")
    postgres_server.suspend()
    try:
        assert await _requests(own) == [503, 503, 503, 503]
    finally:
        postgres_server.resume()
    await _until_answered(lambda: own.finalize("usr_a", "str_1"), 200)


async def test_the_start_is_refused_on_an_empty_schema(postgres_database: str) -> None:
    app = create_app(make_settings(postgres_database))
    with pytest.raises(SchemaError, match="accounting migrate"):
        async with app.router.lifespan_context(app):
            pytest.fail("it must not start")
    async with open_bank(postgres_database):
        pass
    migrated = create_app(make_settings(postgres_database))
    async with migrated.router.lifespan_context(migrated):
        await migrated.state.readiness()
