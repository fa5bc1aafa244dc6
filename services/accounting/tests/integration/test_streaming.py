"""The life of a reservation on real PostgreSQL."""

from datetime import timedelta
from decimal import Decimal

import pytest
from accounting_builders import HAIKU, LEASE_SECONDS, OPUS, SONNET, Bank

from aula_accounting.domain.errors import (
    CreditsHeldError,
    InsufficientCreditsError,
    ReservationConflictError,
    SessionSettledError,
    TooManyStreamsError,
    UnpricedModelError,
)
from aula_accounting.domain.rates import Rate
from aula_accounting.domain.streaming import ProgressReport, Reservation, ReservationStatus
from aula_common.errors import InvalidFieldError, NotFoundError

OPUS_RATE, FREE = Decimal(15), Decimal(0)


def _charged(reservation: Reservation) -> tuple[int, int, int, int]:
    settlement = reservation.settlement
    assert settlement is not None
    return settlement.charged, settlement.refund, settlement.lapsed, settlement.overrun


async def test_hold_is_the_estimate_and_a_fifth(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    reservation = await bank.reserve("usr_a", input_tokens=500, output_tokens=2000)
    assert (reservation.estimated, reservation.reserved) == (8, 10)  # 7.5 up; 9.6 up
    assert reservation.lease_expires_at == bank.clock.now() + timedelta(seconds=LEASE_SECONDS)
    balance = await bank.context.credits.get_balance("usr_a")
    assert (balance.available, balance.held) == (90, 10)
    assert [hold.session_id for hold in balance.holds] == [reservation.session_id]


async def test_hold_is_at_the_dearest_of_the_models(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    reservation = await bank.reserve("usr_a", model_ids=(SONNET, OPUS, HAIKU))
    assert (reservation.estimated, reservation.reserved) == (15, 18)
    settled = await bank.finalize(
        "usr_a", reservation.session_id, model_id=HAIKU, input_tokens=2000, output_tokens=2000
    )
    assert _charged(settled) == (1, 17, 0, 0)


async def test_rates_are_frozen_when_a_stream_begins(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    bank.clock.advance(1)
    dearer = Rate(
        model_id=SONNET, input_rate=OPUS_RATE, output_rate=OPUS_RATE, starts_at=bank.clock.now()
    )
    await bank.context.rates.put([(dearer, True)], actor_id="admin")
    settled = await bank.finalize("usr_a", "str_1", input_tokens=500, output_tokens=500)
    assert _charged(settled) == (3, 1, 0, 0)
    assert (await bank.reserve("usr_a", "str_2")).estimated == 15


async def test_soonest_expiry_is_taken_first_and_what_was_taken_last_goes_back_first(
    bank: Bank,
) -> None:
    never = await bank.give("usr_a", 10)
    late = await bank.give("usr_a", 3, lives=2000)
    soon = await bank.give("usr_a", 2, lives=1000)
    reservation = await bank.reserve("usr_a", "str_1", output_tokens=1500)  # 2,000: holds 8
    taken = [(source.allocation_id, source.amount) for source in reservation.sources]
    assert taken == [(soon.id, 2), (late.id, 3), (never.id, 3)]
    await bank.finalize("usr_a", "str_1", output_tokens=1200)  # 4 credits
    assert (await bank.allocation(soon.id)).charged == 2
    part = await bank.allocation(late.id)
    assert (part.charged, part.remaining) == (2, 1)
    assert (await bank.allocation(never.id)).remaining == 10
    assert await bank.discrepancies() == []


async def test_refund_to_what_expired_meanwhile_lapses_with_an_entry(bank: Bank) -> None:
    soon = await bank.give("usr_a", 4, lives=60)
    await bank.reserve("usr_a", "str_1")
    bank.clock.advance(60)
    settled = await bank.finalize("usr_a", "str_1", output_tokens=300)
    assert _charged(settled) == (1, 3, 3, 0)
    assert (await bank.allocation(soon.id)).lapsed == 3
    assert (await bank.entries("usr_a"))[1:] == [
        ("hold", 4),
        ("charge", 1),
        ("lapse", 3),
        ("settle", 1),
    ]
    assert (await bank.context.credits.get_balance("usr_a")).available == 0
    assert await bank.discrepancies() == []


async def test_expired_credits_can_not_be_reserved(bank: Bank) -> None:
    await bank.give("usr_a", 100, lives=60)
    bank.clock.advance(60)
    with pytest.raises(InsufficientCreditsError) as refused:
        await bank.reserve("usr_a")
    assert refused.value.extra["available"] == 0


async def test_usage_beyond_the_hold_is_recorded_and_never_taken(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    settled = await bank.finalize("usr_a", "str_1", output_tokens=10**12)
    assert _charged(settled) == (4, 0, 0, 3 * 10**9 - 4)
    assert (await bank.context.credits.get_balance("usr_a")).available == 96


async def test_an_explicit_usage_of_zero_is_zero(bank: Bank) -> None:
    await bank.give("usr_a", 4)
    await bank.reserve("usr_a", "str_1")
    assert _charged(await bank.finalize("usr_a", "str_1")) == (0, 4, 0, 0)


async def test_a_repeated_initialize_is_answered_alike_and_holds_once(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    first = await bank.reserve("usr_a", "str_1")
    bank.clock.advance(7)
    assert await bank.reserve("usr_a", "str_1") == first
    assert (await bank.context.credits.get_balance("usr_a")).held == 4


async def test_another_request_under_the_same_id_is_a_conflict(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    await bank.give("usr_b", 100)
    await bank.reserve("usr_a", "str_1")
    with pytest.raises(ReservationConflictError):
        await bank.reserve("usr_a", "str_1", digest="another")
    with pytest.raises(ReservationConflictError):
        await bank.reserve("usr_b", "str_1")
    assert (await bank.context.credits.get_balance("usr_b")).held == 0


async def test_an_id_that_was_settled_can_not_be_initialized_again(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    await bank.finalize("usr_a", "str_1")
    with pytest.raises(SessionSettledError):
        await bank.reserve("usr_a", "str_1")


async def test_an_abort_of_an_unknown_id_refuses_the_initialize_that_comes_late(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    tombstone = await bank.abort("usr_a", "str_1")
    assert (tombstone.status, _charged(tombstone)) == (ReservationStatus.ABORTED, (0, 0, 0, 0))
    with pytest.raises(SessionSettledError):
        await bank.reserve("usr_a", "str_1")
    assert await bank.abort("usr_a", "str_1") == tombstone
    assert (await bank.context.credits.get_balance("usr_a")).available == 100
    assert await bank.discrepancies() == []


async def test_an_abort_leaves_a_tombstone_even_for_a_user_without_an_account(bank: Bank) -> None:
    await bank.abort("usr_new", "str_1")
    await bank.give("usr_new", 100)
    with pytest.raises(SessionSettledError):
        await bank.reserve("usr_new", "str_1")


@pytest.mark.parametrize(
    ("changes", "charged"),
    [
        ({}, 0),
        ({"output_tokens": 100}, 2),  # 500 reserved input and 100 shown, at 3
        ({"output_tokens": 100, "input_tokens": 0}, 1),
        ({"input_tokens": 500}, 2),
    ],
)
async def test_an_abort_charges_what_was_shown(
    bank: Bank, changes: dict[str, int], charged: int
) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    settled = await bank.abort("usr_a", "str_1", **changes)
    assert _charged(settled)[:2] == (charged, 4 - charged)


async def test_the_first_settlement_answers_every_later_one(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    first = await bank.finalize("usr_a", "str_1", output_tokens=400)
    bank.clock.advance(10)
    assert await bank.finalize("usr_a", "str_1", output_tokens=1) == first
    assert await bank.abort("usr_a", "str_1", output_tokens=2) == first
    assert await bank.sweep() == 0
    assert [kind for kind, _ in await bank.entries("usr_a")].count("settle") == 1


async def test_a_reservation_of_another_user_is_unknown(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    for attempt in (bank.finalize, bank.abort):
        with pytest.raises(NotFoundError):
            await attempt("usr_b", "str_1")
    with pytest.raises(NotFoundError):
        await bank.finalize("usr_a", "str_unknown")
    with pytest.raises(NotFoundError):
        await bank.context.streaming.report_progress(
            ProgressReport(session_id="str_1", user_id="usr_b", tokens_generated=1)
        )
    assert (await bank.context.credits.get_balance("usr_a")).held == 4


async def test_a_model_without_a_rate_is_refused(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    with pytest.raises(UnpricedModelError) as refused:
        await bank.reserve("usr_a", model_ids=("no.such-model",))
    assert refused.value.extra["errors"][0]["field"] == "modelId"
    with pytest.raises(UnpricedModelError) as refused:
        await bank.reserve("usr_a", model_ids=(SONNET, "no.such-model"))
    assert refused.value.extra["errors"][0]["field"] == "fallbackModelIds"


async def test_a_model_that_was_not_reserved_for_can_not_settle(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    with pytest.raises(InvalidFieldError):
        await bank.finalize("usr_a", "str_1", model_id=OPUS)
    assert (await bank.finalize("usr_a", "str_1", model_id=SONNET)).status == "completed"


async def test_a_refusal_tells_held_from_gone(bank: Bank) -> None:
    await bank.give("usr_a", 7)
    held = await bank.reserve("usr_a")
    with pytest.raises(CreditsHeldError) as refused:
        await bank.reserve("usr_a")
    extra = refused.value.extra
    assert (extra["available"], extra["required"], extra["held"]) == (3, 4, 4)
    assert (extra["estimatedCredits"], extra["bufferRequired"]) == (3, 1)
    assert [hold["sessionId"] for hold in extra["holds"]] == [held.session_id]
    with pytest.raises(InsufficientCreditsError) as gone:
        await bank.reserve("usr_a", output_tokens=5000)
    assert "holds" not in gone.value.extra


async def test_running_streams_are_limited_until_one_ends(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    for number in range(5):
        await bank.reserve("usr_a", f"str_{number}")
    with pytest.raises(TooManyStreamsError):
        await bank.reserve("usr_a", "str_6")
    await bank.abort("usr_a", "str_0")
    await bank.reserve("usr_a", "str_6")


async def test_progress_only_grows_and_ends_with_the_stream(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")

    async def report(tokens: int) -> int:
        progress = ProgressReport(session_id="str_1", user_id="usr_a", tokens_generated=tokens)
        reservation = await bank.context.streaming.report_progress(progress)
        return reservation.tokens_generated

    assert [await report(10), await report(4), await report(30)] == [10, 10, 30]
    await bank.finalize("usr_a", "str_1")
    with pytest.raises(SessionSettledError):
        await report(40)


async def test_a_model_that_costs_nothing_runs_without_credits(bank: Bank) -> None:
    free = Rate(model_id="free", input_rate=FREE, output_rate=FREE, starts_at=bank.clock.now())
    await bank.context.rates.put([(free, True)], actor_id="admin")
    await bank.give("usr_a", 1)
    await bank.reserve("usr_a", "str_1", model_ids=("free",))
    settled = await bank.finalize("usr_a", "str_1", output_tokens=10)
    assert _charged(settled) == (0, 0, 0, 0)
    assert await bank.discrepancies() == []
