"""News is written with what it tells of, and published at least once, in order for each user."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from accounting_builders import LEASE_SECONDS, Bank, make_settings, plain_url
from asyncpg import connect
from pydantic import SecretStr
from redis.asyncio import Redis

from aula_accounting.clients.news import STREAM
from aula_accounting.domain.news import News, NewsType, PendingNews
from aula_accounting.domain.quotas import (
    QuotaHolder,
    QuotaKey,
    QuotaMetric,
    QuotaPeriod,
    QuotaScope,
)
from aula_accounting.factory import open_relay
from aula_accounting.main import create_app
from aula_accounting.services.news import NewsRelay
from aula_accounting.settings import NewsSettings
from aula_accounting.storage.unit_of_work import start_work
from aula_common.errors import UnavailableError
from aula_common.metrics import Metrics
from aula_common.testing import TokenMint
from aula_devstack.servers.redis import Redis as RedisServer


@asynccontextmanager
async def _relay(bank: Bank, url: str, *, length: int = 1000) -> AsyncIterator[NewsRelay]:
    settings = NewsSettings(redis_url=SecretStr(url), news_stream_length=length)
    async with open_relay(bank.context, news=settings, metrics=Metrics()) as relay:
        assert relay is not None
        yield relay


async def _stream(url: str) -> list[dict[str, Any]]:
    async with Redis.from_url(url, decode_responses=True) as redis:
        entries: Any = await redis.xrange(STREAM)
    return [{**fields, "data": json.loads(fields["data"])} for _, fields in entries]


async def _add(bank: Bank, *users: str) -> None:
    async with start_work(bank.context.engine) as work:
        await work.outbox.add(
            [
                News(
                    type=NewsType.CREDITS_LOW,
                    at=bank.clock.now(),
                    user_id=user,
                    team_id=None,
                    data={"number": number},
                )
                for number, user in enumerate(users)
            ]
        )
        await work.commit()


async def _waiting(bank: Bank) -> list[tuple[str, str]]:
    rows = await bank.query("SELECT user_id, type FROM outbox ORDER BY id")
    return [(row["user_id"], row["type"]) for row in rows]


async def test_a_swept_reservation_is_told_once_with_what_was_charged(
    bank: Bank, redis_url: str
) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1", chat_session_id="ses_1")
    await bank.reserve("usr_a", "str_2")
    await bank.finalize("usr_a", "str_2")
    bank.clock.advance(LEASE_SECONDS)
    await asyncio.gather(*(bank.sweep() for _ in range(3)))
    async with _relay(bank, redis_url) as relay:
        assert await relay.publish_pending() == 1
        assert await relay.publish_pending() == 0
    [news] = await _stream(redis_url)
    assert news.pop("id").startswith("accounting-")
    assert news == {
        "type": "reservation.swept",
        "at": bank.clock.now().isoformat().replace("+00:00", "Z"),
        "userId": "usr_a",
        "teamId": "",
        "data": {"sessionId": "str_1", "chatSessionId": "ses_1", "charged": 0, "refund": 4},
    }


async def _spend(bank: Bank, credits: int) -> None:  # noqa: A002 - the field's word
    tokens = credits * 1000 // 3
    started = await bank.reserve("usr_a", input_tokens=0, output_tokens=tokens)
    await bank.finalize("usr_a", started.session_id, output_tokens=tokens)


async def test_low_credits_are_told_once_until_more_are_given(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    for spent in (60, 30):
        await _spend(bank, spent)
        assert await _waiting(bank) == []  # 10 are left: a tenth is not below a tenth
    for spent in (3, 3):
        await _spend(bank, spent)
        assert await _waiting(bank) == [("usr_a", "credits.low")]
    rows = await bank.query("SELECT data FROM outbox")
    assert json.loads(rows[0]["data"]) == {"available": 7, "held": 0, "threshold": 10}
    await bank.give("usr_a", 36)
    await _spend(bank, 33)
    await _spend(bank, 3)
    assert len(await _waiting(bank)) == 1  # 4 of 40
    await _spend(bank, 3)
    assert len(await _waiting(bank)) == 2


async def test_what_is_held_is_not_yet_spent(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1", input_tokens=0, output_tokens=27_000)
    assert (await bank.context.credits.get_balance("usr_a")).available == 2
    assert await _waiting(bank) == []
    await bank.finalize("usr_a", "str_1", output_tokens=27_000)
    await bank.reserve("usr_a", "str_2", input_tokens=0, output_tokens=5_000)
    assert await _waiting(bank) == []


async def test_low_credits_are_told_of_an_expiry_and_a_revoke_too(bank: Bank) -> None:
    await bank.give("usr_a", 100, lives=60)
    revoked = await bank.give("usr_b", 100)
    bank.clock.advance(60)
    await bank.sweep()
    await bank.context.credits.revoke(revoked.id, actor_id="admin", key="r")
    assert await _waiting(bank) == [("usr_a", "credits.low"), ("usr_b", "credits.low")]


async def test_a_quota_that_nears_its_end_is_told_once_for_its_period(bank: Bank) -> None:
    quotas = [
        (
            QuotaKey(
                scope=QuotaScope.TIER,
                subject_id="basic",
                metric=QuotaMetric.SESSIONS,
                period=period,
            ),
            quantity,
        )
        for period, quantity in ((QuotaPeriod.DAY, 5), (QuotaPeriod.MONTH, 10))
    ]
    await bank.context.quotas.put(quotas, actor_id="admin")
    holder = QuotaHolder(user_id="usr_a", tier="basic", team_ids=())
    told = []
    for number in range(10):
        if number == 5:
            bank.clock.advance(86_400)
        await bank.context.quotas.consume(
            holder, {QuotaMetric.SESSIONS: 1}, caller_id="chat", key=f"k{number}"
        )
        rows = await bank.query("DELETE FROM outbox RETURNING data")
        news = [json.loads(row["data"]) for row in rows]
        told.append([(one["period"], one["used"]) for one in news])
    assert told == [
        *[[]] * 3,
        [("day", 4)],
        *[[]] * 3,
        [("month", 8)],
        [("day", 4)],
        [],
    ]


async def test_what_did_not_happen_is_not_told(bank: Bank) -> None:
    async with start_work(bank.context.engine) as work:
        await work.outbox.add(
            [
                News(
                    type=NewsType.CREDITS_LOW,
                    at=bank.clock.now(),
                    user_id="usr_a",
                    team_id=None,
                    data={},
                )
            ]
        )
    assert await _waiting(bank) == []


async def test_news_waits_for_redis_and_keeps_its_order(
    bank: Bank, redis_server: RedisServer
) -> None:
    async with _relay(bank, redis_server.url) as relay:
        await _add(bank, "usr_a", "usr_b", "usr_a")
        assert await relay.publish_pending() == 3
        redis_server.stop()
        await _add(bank, "usr_a", "usr_a", "usr_b")
        with pytest.raises(UnavailableError):
            await relay.publish_pending()
        assert len(await _waiting(bank)) == 3
        redis_server.start()
        await _add(bank, "usr_a")
        assert await relay.publish_pending() == 4
        assert await _waiting(bank) == []
    entries = await _stream(redis_server.url)
    ids = [int(entry["id"].removeprefix("accounting-")) for entry in entries]
    assert ids[-4:] == sorted(ids[-4:])
    assert [entry["userId"] for entry in entries[-4:]] == ["usr_a", "usr_a", "usr_b", "usr_a"]


class _Lost:
    """A stream whose acknowledgement is lost after the news was taken."""

    def __init__(self) -> None:
        self.taken: list[Sequence[PendingNews]] = []

    async def publish(self, pending: Sequence[PendingNews]) -> None:
        self.taken.append(pending)
        if len(self.taken) == 1:
            raise UnavailableError("redis")


async def test_news_whose_acknowledgement_was_lost_is_told_again_under_its_id(bank: Bank) -> None:
    await _add(bank, "usr_a", "usr_a")
    stream = _Lost()
    relay = NewsRelay(
        start_work=lambda: start_work(bank.context.engine),
        stream=stream,
        published=Metrics().counter("published_news", "Published."),
    )
    with pytest.raises(UnavailableError):
        await relay.publish_pending()
    assert await relay.publish_pending() == 2
    assert stream.taken[0] == stream.taken[1]
    assert await _waiting(bank) == []


async def test_two_relays_at_once_publish_everything_once_and_in_order(
    bank: Bank, redis_url: str
) -> None:
    await _add(bank, *(f"usr_{number % 7}" for number in range(450)))
    async with _relay(bank, redis_url) as one, _relay(bank, redis_url) as other:
        counts = await asyncio.gather(*(relay.publish_pending() for relay in (one, other) * 3))
        assert sum(counts) + await one.publish_pending() == 450
    ids = [int(entry["id"].removeprefix("accounting-")) for entry in await _stream(redis_url)]
    assert ids == sorted(set(ids))
    assert len(ids) == 450


async def test_while_another_publishes_a_relay_leaves_it_to_him(bank: Bank, redis_url: str) -> None:
    await _add(bank, "usr_a")
    other = await connect(plain_url(bank.url))
    try:
        async with other.transaction():
            assert await other.fetchval("SELECT pg_try_advisory_xact_lock(7205759404)")
            async with _relay(bank, redis_url) as relay:
                assert await relay.publish_pending() == 0
    finally:
        await other.close()


async def test_the_stream_is_bounded(bank: Bank, redis_url: str) -> None:
    await _add(bank, *["usr_a"] * 1000)
    async with _relay(bank, redis_url, length=100) as relay:
        assert await relay.publish_pending() == 1000
    entries = await _stream(redis_url)
    assert 100 <= len(entries) <= 200  # the bound is approximate: whole nodes are dropped
    assert entries[-1]["data"]["number"] == 999


async def test_news_that_nobody_could_hear_for_a_week_is_dropped(bank: Bank) -> None:
    await _add(bank, "usr_a")
    bank.clock.advance(7 * 86_400)
    assert (await bank.context.sweeper.sweep()).news == 0
    bank.clock.advance(1)
    assert (await bank.context.sweeper.sweep()).news == 1
    assert await _waiting(bank) == []


async def test_the_service_publishes_by_itself(bank: Bank, redis_url: str) -> None:
    settings = make_settings(bank.url).model_copy(
        update={"news": NewsSettings(redis_url=SecretStr(redis_url), news_interval_seconds=0.02)}
    )
    verifier = TokenMint(bank.clock).verifier("accounting")
    app = create_app(settings, clock=bank.clock, verifier=verifier)
    async with app.router.lifespan_context(app), Redis.from_url(redis_url) as redis:
        await _add(bank, "usr_a")
        async with asyncio.timeout(60):
            while not await redis.xread({STREAM: "0"}, block=1_000):
                pass
