"""Allocations: given, listed, taken back; each once for its key."""

import asyncio
from datetime import timedelta

import pytest
from accounting_builders import Bank

from aula_accounting.domain.credits import LARGEST_BALANCE, Allocation, Grant
from aula_accounting.domain.errors import (
    AllocationRevokedError,
    BalanceTooLargeError,
    UnpricedModelError,
)
from aula_common.errors import IdempotencyKeyReusedError, InvalidFieldError, NotFoundError


def _grant(*user_ids: str, credits: int = 10, note: str | None = None) -> Grant:  # noqa: A002 - the field's word
    return Grant(user_ids=user_ids, credits=credits, expires_at=None, note=note)


async def test_the_same_key_and_grant_give_once_and_answer_alike(bank: Bank) -> None:
    allocate = bank.context.credits.allocate
    first = await allocate(_grant("usr_b", "usr_a"), actor_id="admin", key="k")
    bank.clock.advance(86_400)
    assert await allocate(_grant("usr_b", "usr_a"), actor_id="admin", key="k") == first
    assert [given.user_id for given in first] == ["usr_b", "usr_a"]
    assert (await bank.context.credits.get_balance("usr_a")).available == 10


async def test_the_same_key_with_another_grant_is_a_conflict(bank: Bank) -> None:
    allocate = bank.context.credits.allocate
    first = await allocate(_grant("usr_a"), actor_id="admin", key="k")
    with pytest.raises(IdempotencyKeyReusedError):
        await allocate(_grant("usr_a", credits=11), actor_id="admin", key="k")
    with pytest.raises(IdempotencyKeyReusedError):
        await bank.context.credits.revoke(first[0].id, actor_id="admin", key="k")


async def test_keys_of_two_callers_are_two_keys(bank: Bank) -> None:
    allocate = bank.context.credits.allocate
    await allocate(_grant("usr_a"), actor_id="admin-1", key="k")
    await allocate(_grant("usr_a", credits=5), actor_id="admin-2", key="k")
    assert (await bank.context.credits.get_balance("usr_a")).available == 15


async def test_a_key_is_free_again_after_a_week(bank: Bank) -> None:
    allocate = bank.context.credits.allocate
    await allocate(_grant("usr_a"), actor_id="admin", key="k")
    bank.clock.advance(7 * 86_400)
    await allocate(_grant("usr_a", credits=5), actor_id="admin", key="k")
    assert (await bank.context.credits.get_balance("usr_a")).available == 15


async def test_the_same_key_many_times_at_once_gives_once(bank: Bank) -> None:
    results = await asyncio.gather(
        *(
            bank.context.credits.allocate(_grant("usr_a"), actor_id="admin", key="k")
            for _ in range(20)
        )
    )
    assert all(one == results[0] for one in results)
    assert (await bank.context.credits.get_balance("usr_a")).available == 10


async def test_a_grant_to_several_is_all_or_nothing(bank: Bank) -> None:
    await bank.give("usr_rich", 1)
    await bank.execute(
        f"UPDATE accounts SET remaining = {LARGEST_BALANCE - 5}"  # noqa: S608 - the test's own
    )
    with pytest.raises(BalanceTooLargeError):
        await bank.context.credits.allocate(
            _grant("usr_a", "usr_rich"), actor_id="admin", key="too-much"
        )
    assert (await bank.context.credits.get_balance("usr_a")).available == 0
    await bank.context.credits.allocate(
        _grant("usr_a", "usr_rich", credits=5), actor_id="admin", key="too-much"
    )


async def test_an_expiry_must_lie_ahead(bank: Bank) -> None:
    grant = Grant(user_ids=("usr_a",), credits=1, expires_at=bank.clock.now(), note=None)
    with pytest.raises(InvalidFieldError, match="future"):
        await bank.context.credits.allocate(grant, actor_id="admin", key="k")


async def test_a_grant_repeated_after_its_own_expiry_is_answered_as_before(bank: Bank) -> None:
    expires_at = bank.clock.now() + timedelta(seconds=60)
    grant = Grant(user_ids=("usr_a",), credits=1, expires_at=expires_at, note="for May")
    first = await bank.context.credits.allocate(grant, actor_id="admin", key="k")
    bank.clock.advance(120)
    assert await bank.context.credits.allocate(grant, actor_id="admin", key="k") == first


async def test_revoke_takes_what_is_left_and_leaves_what_is_held(bank: Bank) -> None:
    given = await bank.give("usr_a", 10)
    await bank.reserve("usr_a", "str_1")
    revoked = await bank.context.credits.revoke(given.id, actor_id="admin", key="r")
    assert (revoked.revoked, revoked.held, revoked.remaining) == (6, 4, 0)
    settled = await bank.finalize("usr_a", "str_1", output_tokens=300)
    assert settled.settlement is not None
    assert (settled.settlement.charged, settled.settlement.lapsed) == (1, 3)
    assert (await bank.context.credits.get_balance("usr_a")).available == 0
    assert await bank.discrepancies() == []


async def test_revoke_is_answered_alike_for_its_key_and_refused_for_another(bank: Bank) -> None:
    given = await bank.give("usr_a", 10)
    revoke = bank.context.credits.revoke
    first = await revoke(given.id, actor_id="admin", key="r")
    assert await revoke(given.id, actor_id="admin", key="r") == first
    with pytest.raises(AllocationRevokedError):
        await revoke(given.id, actor_id="admin", key="another")
    with pytest.raises(NotFoundError):
        await revoke("alc_unknown", actor_id="admin", key="third")


async def test_an_allocation_that_was_used_up_leaves_the_balance_but_not_the_list(
    bank: Bank,
) -> None:
    given = await bank.give("usr_a", 4)
    await bank.reserve("usr_a", "str_1")
    await bank.finalize("usr_a", "str_1", output_tokens=2000)
    assert (await bank.context.credits.get_balance("usr_a")).allocations == ()
    listed, total = await bank.context.credits.list_allocations("usr_a", offset=0, limit=10)
    assert ([one.id for one in listed], total) == ([given.id], 1)
    assert isinstance(listed[0], Allocation)


async def test_a_check_asks_for_what_a_reservation_would_hold(bank: Bank) -> None:
    await bank.give("usr_a", 4)
    model = "anthropic.claude-3-sonnet-20240229-v1:0"
    enough = await bank.context.credits.check_model("usr_a", model, 1000)
    assert (enough.required, enough.available, enough.sufficient) == (4, 4, True)
    assert not (await bank.context.credits.check_model("usr_a", model, 1334)).sufficient
    assert (await bank.context.credits.check_credits("usr_a", 4)).sufficient
    assert not (await bank.context.credits.check_credits("usr_nobody", 1)).sufficient
    with pytest.raises(UnpricedModelError):
        await bank.context.credits.check_model("usr_a", "no.such-model", 1)
