"""Erasures on a real server."""

from asyncio import gather
from datetime import timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from stream_builders import MOMENT

from aula_chat.domain.erasures import Erasure
from aula_chat.storage.erasures import ErasureRepository

LATER = MOMENT + timedelta(minutes=1)
MUCH_LATER = MOMENT + timedelta(hours=1)


@pytest.fixture
def erasures(store: AsyncDatabase[dict[str, Any]]) -> ErasureRepository:
    """The erasures."""
    return ErasureRepository(store["erasures"])


async def test_the_first_wish_counts_and_so_does_the_first_end(
    erasures: ErasureRepository,
) -> None:
    assert not await erasures.exists("usr_a")
    asked = await gather(*(erasures.ask("usr_a", MOMENT) for _ in range(5)))
    assert asked == [Erasure(user_id="usr_a", asked_at=MOMENT)] * 5
    assert (await erasures.ask("usr_a", LATER)).asked_at == MOMENT
    assert await erasures.exists("usr_a")
    assert not await erasures.exists("usr_b")
    done = await erasures.finish("usr_a", LATER, look_again_at=None)
    assert done.erased_at == LATER
    again = await erasures.finish("usr_a", MUCH_LATER, look_again_at=None)
    assert again == done == await erasures.ask("usr_a", MUCH_LATER)


async def test_its_sessions_are_remembered_once(erasures: ErasureRepository) -> None:
    await erasures.ask("usr_a", MOMENT)
    await erasures.add_sessions("usr_a", ["ses_a", "ses_b"])
    await erasures.add_sessions("usr_a", ["ses_b", "ses_c"])
    found = await erasures.ask("usr_a", LATER)
    assert set(found.session_ids) == {"ses_a", "ses_b", "ses_c"}
    assert len(found.session_ids) == 3


async def test_what_is_due_goes_to_one_alone_and_the_longest_waiting_first(
    erasures: ErasureRepository,
) -> None:
    for second, user_id in enumerate(("usr_b", "usr_a", "usr_c")):
        await erasures.ask(user_id, MOMENT + timedelta(seconds=second))

    async def take() -> str | None:
        due = await erasures.take_due(LATER, look_again_at=MUCH_LATER)
        return due.user_id if due else None

    assert await erasures.take_due(MOMENT, look_again_at=MUCH_LATER) is None  # asked just now
    assert await take() == "usr_b"
    assert sorted(str(one) for one in await gather(take(), take(), take())) == [
        "None", "usr_a", "usr_c",
    ]  # fmt: skip
    assert await erasures.take_due(MUCH_LATER, look_again_at=MUCH_LATER) is not None


async def test_what_is_finished_is_looked_at_again_until_it_need_not_be(
    erasures: ErasureRepository,
) -> None:
    await erasures.ask("usr_a", MOMENT)
    await erasures.finish("usr_a", MOMENT, look_again_at=LATER)
    due = await erasures.take_due(LATER, look_again_at=MUCH_LATER)
    assert due is not None
    assert due.erased_at == MOMENT
    await erasures.finish("usr_a", MUCH_LATER, look_again_at=None)
    far = MUCH_LATER + timedelta(days=9)
    assert await erasures.take_due(far, look_again_at=far) is None
