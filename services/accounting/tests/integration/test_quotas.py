"""Quotas: the tightest wins, nobody gets past one together, and the end corrects the start."""

import asyncio
from datetime import timedelta

import pytest
from accounting_builders import HAIKU, LEASE_SECONDS, SONNET, Bank, open_bank

from aula_accounting.domain.errors import InsufficientCreditsError, QuotaExceededError
from aula_accounting.domain.quotas import (
    QuotaHolder,
    QuotaKey,
    QuotaMetric,
    QuotaPeriod,
    QuotaScope,
    QuotaStanding,
)
from aula_accounting.domain.streaming import Reservation
from aula_common.errors import IdempotencyKeyReusedError, InvalidFieldError
from aula_common.ids import new_id

_DAY = 86_400
_USER = QuotaHolder(user_id="usr_a", tier=None, team_ids=())


def _key(
    metric: QuotaMetric,
    period: QuotaPeriod = QuotaPeriod.DAY,
    scope: QuotaScope = QuotaScope.USER,
    subject_id: str = "usr_a",
) -> QuotaKey:
    return QuotaKey(scope=scope, subject_id=subject_id, metric=metric, period=period)


async def _put(bank: Bank, *quantities: tuple[QuotaKey, int | None]) -> None:
    await bank.context.quotas.put(quantities, actor_id="admin")


async def _used(bank: Bank, metric: QuotaMetric, holder: QuotaHolder = _USER) -> int:
    standing = await bank.context.quotas.get_standing(holder)
    return {one.metric: one.used for one in standing}[metric]


async def _consume(bank: Bank, holder: QuotaHolder = _USER, **amounts: int) -> list[QuotaStanding]:
    wanted = {QuotaMetric(name): amount for name, amount in amounts.items()}
    return list(
        await bank.context.quotas.consume(holder, wanted, caller_id="chat", key=new_id("key"))
    )


async def test_initialize_consumes_messages_tokens_and_credits(bank: Bank) -> None:
    await _put(
        bank,
        (_key(QuotaMetric.MESSAGES), 10),
        (_key(QuotaMetric.TOKENS), 10_000),
        (_key(QuotaMetric.CREDITS), 100),
    )
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    standing = await bank.context.quotas.get_standing(_USER)
    assert {one.metric.value: one.used for one in standing} == {
        "messages": 1,
        "tokens": 1000,
        "credits": 4,
    }
    assert {one.resets_at for one in standing} == {bank.clock.now() + timedelta(days=1)}


async def test_a_repeated_initialize_consumes_once(bank: Bank) -> None:
    await _put(bank, (_key(QuotaMetric.MESSAGES), 1))
    await bank.give("usr_a", 100)
    first = await bank.reserve("usr_a", "str_1")
    assert await bank.reserve("usr_a", "str_1") == first
    assert await _used(bank, QuotaMetric.MESSAGES) == 1


async def test_the_end_corrects_what_the_start_has_estimated(bank: Bank) -> None:
    metrics = (QuotaMetric.MESSAGES, QuotaMetric.TOKENS, QuotaMetric.CREDITS)
    await _put(bank, *((_key(metric), 100_000) for metric in metrics))
    await _put(bank, (_key(QuotaMetric.COMPUTE_SECONDS), 60))
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    await bank.finalize("usr_a", "str_1", input_tokens=300, output_tokens=200, duration_ms=1_001)
    standing = await bank.context.quotas.get_standing(_USER)
    assert {one.metric.value: one.used for one in standing} == {
        "messages": 1,
        "tokens": 500,
        "credits": 2,
        "computeSeconds": 2,
    }


@pytest.mark.parametrize("ending", ["abort", "sweep"])
async def test_a_message_of_which_nothing_was_shown_is_not_counted(bank: Bank, ending: str) -> None:
    metrics = (QuotaMetric.MESSAGES, QuotaMetric.TOKENS, QuotaMetric.CREDITS)
    await _put(bank, *((_key(metric), 5_000) for metric in metrics))
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    if ending == "abort":
        await bank.abort("usr_a", "str_1")
    else:
        bank.clock.advance(LEASE_SECONDS)
        await bank.sweep()
    assert [await _used(bank, metric) for metric in metrics] == [0, 0, 0]


async def test_the_correction_belongs_to_the_day_of_the_start(bank: Bank) -> None:
    await _put(
        bank,
        (_key(QuotaMetric.TOKENS), 5_000),
        (_key(QuotaMetric.TOKENS, QuotaPeriod.MONTH), 50_000),
    )
    await bank.give("usr_a", 100)
    bank.clock.advance(_DAY - 10)
    await bank.reserve("usr_a", "str_1")
    bank.clock.advance(20)
    await bank.finalize("usr_a", "str_1", input_tokens=100, output_tokens=50)
    standing = await bank.context.quotas.get_standing(_USER)
    assert [(one.period.value, one.used) for one in standing] == [("day", 0), ("month", 150)]


async def test_a_day_and_a_month_begin_anew(bank: Bank) -> None:
    await _put(
        bank,
        (_key(QuotaMetric.SESSIONS), 1),
        (_key(QuotaMetric.SESSIONS, QuotaPeriod.MONTH), 2),
    )
    await _consume(bank, sessions=1)
    with pytest.raises(QuotaExceededError) as of_day:
        await _consume(bank, sessions=1)
    assert (of_day.value.extra["period"], of_day.value.extra["retryAfter"]) == ("day", _DAY)
    bank.clock.advance(_DAY)
    await _consume(bank, sessions=1)
    bank.clock.advance(_DAY)
    with pytest.raises(QuotaExceededError) as of_month:
        await _consume(bank, sessions=1)
    assert of_month.value.extra["period"] == "month"
    assert of_month.value.extra["retryAfter"] == 29 * _DAY  # the clock began on January 1
    bank.clock.advance(29 * _DAY)
    await _consume(bank, sessions=1)


async def test_the_tightest_of_those_that_apply_wins(bank: Bank) -> None:
    everything = QuotaHolder(user_id="usr_a", tier="pro", team_ids=("team_1", "team_2"))
    messages = QuotaMetric.MESSAGES

    async def limit() -> int:
        [standing] = await bank.context.quotas.get_standing(everything)
        return standing.quantity

    await _put(bank, (_key(messages, scope=QuotaScope.TIER, subject_id="pro"), 9))
    assert await limit() == 9
    await _put(bank, (_key(messages, scope=QuotaScope.TEAM, subject_id="team_2"), 7))
    assert await limit() == 7
    await _put(bank, (_key(messages), 8))
    assert await limit() == 7
    await _put(
        bank,
        (_key(messages, scope=QuotaScope.TIER, subject_id="basic"), 1),
        (_key(messages, scope=QuotaScope.TEAM, subject_id="team_3"), 1),
        (_key(messages, subject_id="usr_b"), 1),
        (_key(messages), 3),
    )
    assert await limit() == 3
    await _put(bank, (_key(messages), None))
    assert await limit() == 7


async def test_initialize_asks_the_quotas_of_tier_and_team(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    of_tier = _key(QuotaMetric.MESSAGES, scope=QuotaScope.TIER, subject_id="basic")
    of_team = _key(QuotaMetric.MESSAGES, scope=QuotaScope.TEAM, subject_id="team_1")
    await _put(bank, (of_tier, 0), (of_team, 0))
    for refused in ({"tier": "basic"}, {"team_id": "team_1"}):
        with pytest.raises(QuotaExceededError):
            await bank.reserve("usr_a", "str_1", **refused)
    assert (await bank.context.credits.get_balance("usr_a")).held == 0
    await bank.reserve("usr_a", "str_1", tier="pro", team_id="team_2")


async def test_time_that_is_used_up_refuses_the_next_stream(bank: Bank) -> None:
    await _put(bank, (_key(QuotaMetric.COMPUTE_SECONDS), 10))
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    await bank.finalize("usr_a", "str_1", output_tokens=1, duration_ms=9_500)
    with pytest.raises(QuotaExceededError):
        await bank.reserve("usr_a", "str_2")


async def test_what_was_refused_for_want_of_credits_is_not_counted(bank: Bank) -> None:
    await _put(bank, (_key(QuotaMetric.MESSAGES), 5))
    await bank.give("usr_a", 3)
    with pytest.raises(InsufficientCreditsError):
        await bank.reserve("usr_a", "str_1")
    assert await _used(bank, QuotaMetric.MESSAGES) == 0


async def test_consuming_is_all_or_nothing(bank: Bank) -> None:
    await _put(bank, (_key(QuotaMetric.SESSIONS), 5), (_key(QuotaMetric.TOKENS), 10))
    with pytest.raises(QuotaExceededError) as refused:
        await _consume(bank, sessions=1, tokens=11)
    assert refused.value.extra["metric"] == "tokens"
    assert await _used(bank, QuotaMetric.SESSIONS) == 0
    [_, tokens] = await _consume(bank, sessions=1, tokens=10)
    assert (tokens.metric, tokens.used, tokens.remaining) == (QuotaMetric.TOKENS, 10, 0)


async def test_the_same_key_consumes_once_a_day_later_too(bank: Bank) -> None:
    await _put(bank, (_key(QuotaMetric.SESSIONS, QuotaPeriod.MONTH), 5))
    consume = bank.context.quotas.consume
    one, two = {QuotaMetric.SESSIONS: 1}, {QuotaMetric.SESSIONS: 2}
    await asyncio.gather(*(consume(_USER, one, caller_id="chat", key="k") for _ in range(10)))
    bank.clock.advance(_DAY)
    await consume(_USER, one, caller_id="chat", key="k")
    assert await _used(bank, QuotaMetric.SESSIONS) == 1
    with pytest.raises(IdempotencyKeyReusedError):
        await consume(_USER, two, caller_id="chat", key="k")
    await consume(_USER, one, caller_id="monitoring", key="k")
    assert await _used(bank, QuotaMetric.SESSIONS) == 2


async def test_nobody_gets_past_a_quota_by_asking_at_once(postgres_database: str) -> None:
    async with open_bank(postgres_database, streams=100) as bank:
        await _put(bank, (_key(QuotaMetric.MESSAGES), 7))
        await bank.give("usr_a", 1000)
        results = await asyncio.gather(
            *(bank.reserve("usr_a", f"str_{number}") for number in range(20)),
            *(_consume(bank, messages=1) for _ in range(10)),
            return_exceptions=True,
        )
        refused = [one for one in results if isinstance(one, QuotaExceededError)]
        reserved = [one for one in results if isinstance(one, Reservation)]
        assert (len(results) - len(refused), len(refused)) == (7, 23), results
        assert await _used(bank, QuotaMetric.MESSAGES) == 7
        balance = await bank.context.credits.get_balance("usr_a")
        assert balance.held == 4 * len(reserved)
        assert await bank.discrepancies() == []


async def test_of_many_that_consume_at_once_as_many_pass_as_may(bank: Bank) -> None:
    for number in range(5):
        user = f"usr_{number}"
        holder = QuotaHolder(user_id=user, tier=None, team_ids=())
        await _put(bank, (_key(QuotaMetric.SESSIONS, subject_id=user), 4))
        results = await asyncio.gather(
            *(_consume(bank, holder, sessions=1) for _ in range(20)), return_exceptions=True
        )
        assert sum(isinstance(one, QuotaExceededError) for one in results) == 16, results
        assert await _used(bank, QuotaMetric.SESSIONS, holder) == 4


async def test_quotas_are_listed_by_whom_they_concern(bank: Bank) -> None:
    tier = _key(QuotaMetric.MESSAGES, scope=QuotaScope.TIER, subject_id="pro")
    mine, other = _key(QuotaMetric.TOKENS), _key(QuotaMetric.TOKENS, subject_id="usr_b")
    await _put(bank, (tier, 1), (mine, 2), (other, 3))
    holder = QuotaHolder(user_id="usr_a", tier="pro", team_ids=())
    found, total = await bank.context.quotas.list_quotas(holder, offset=0, limit=10)
    assert ([quota.quantity for quota in found], total) == ([1, 2], 2)
    found, total = await bank.context.quotas.list_quotas(None, offset=1, limit=1)
    assert ([quota.quantity for quota in found], total) == ([2], 3)
    with pytest.raises(InvalidFieldError, match="twice"):
        await _put(bank, (mine, 1), (mine, 2))


async def test_a_program_of_before_the_quotas_reserves_without_them(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    await _put(bank, (_key(QuotaMetric.MESSAGES), 0))
    request = (
        '[{"place": 0, "session_id": "str_1", "user_id": "usr_a", "service_id": "chat", '
        f'"chat_session_id": null, "team_id": null, "model_ids": ["{SONNET}", "{HAIKU}"], '
        '"input_tokens": 500, "output_tokens": 500, "unsplit_tokens": 0, '
        '"max_output_tokens": 500, "digest": "d"}]'
    )
    [row] = await bank.query(
        "SELECT outcome FROM reserve_credits($1::jsonb, now(), interval '1 minute', 5)", request
    )
    assert row["outcome"] == "reserved"
    await bank.finalize("usr_a", "str_1", output_tokens=100)
    assert await bank.discrepancies() == []
