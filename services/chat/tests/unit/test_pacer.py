"""The common moments at which answers are read."""

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from aula_chat.clients.pacer import Pacer, Turn

EVERY = 0.1  # longer than a busy machine keeps a turn of the loop waiting


async def together(*turns: Turn) -> list[float]:
    return list(await asyncio.gather(*(turn.pause() for turn in turns)))


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_group_wakes_at_one_moment_and_then_at_equal_distances() -> None:
    began, pacer = now(), Pacer(EVERY)
    turns = [pacer.join() for _ in range(3)]
    first = await together(*turns)
    assert began < first[0] <= now()
    assert first == [first[0]] * 3
    assert await together(*turns) == [pytest.approx(first[0] + EVERY)] * 3


async def test_who_joins_meanwhile_wakes_with_the_others() -> None:
    pacer = Pacer(EVERY)
    turn = pacer.join()
    first = await turn.pause()
    assert await together(turn, pacer.join()) == [pytest.approx(first + EVERY)] * 2


async def test_a_pause_ends_at_its_moment_and_not_later() -> None:
    loop, ended, turn = asyncio.get_running_loop(), list[str](), Pacer(EVERY).join()

    async def pause() -> None:
        await turn.pause()
        ended.append("pause")

    pausing = asyncio.create_task(pause())
    await asyncio.sleep(0)
    # timers ring in their order, however busy the machine is
    later = turn._group.moment + EVERY / 5
    loop.call_at(later, loop.call_soon, ended.append, "what was for later")
    await asyncio.gather(pausing, asyncio.sleep(later + EVERY / 5 - now()))
    assert ended == ["pause", "what was for later"]


async def test_a_newcomer_joins_the_group_whose_moment_is_next() -> None:
    pacer = Pacer(5 * EVERY, most=2)
    one, gone, other = pacer.join(), pacer.join(), pacer.join()
    gone.leave()
    later = asyncio.create_task(one.pause())
    newcomer = pacer.join()
    sooner, joined = await together(other, newcomer)
    assert sooner == joined
    newcomer.leave()
    assert sooner < await pacer.join().pause() == await later


async def test_groups_have_no_more_than_can_be_served_at_once_and_are_spread() -> None:
    pacer = Pacer(EVERY, most=2)
    counts = Counter(await together(*(pacer.join() for _ in range(9))))
    assert sorted(counts.values()) == [1, 2, 2, 2, 2]
    moments = sorted(counts)
    distances = [later - earlier for earlier, later in pairwise([*moments, moments[0] + EVERY])]
    assert min(distances) == pytest.approx(EVERY / 8, abs=EVERY / 100)


async def test_nobody_takes_a_place_whose_owner_is_away() -> None:
    pacer = Pacer(EVERY, most=2)
    turns = [pacer.join(), pacer.join()]
    await together(*turns)
    newcomer = pacer.join()
    first, second, other = await together(*turns, newcomer)
    assert first == second != other


async def test_who_missed_a_moment_is_there_at_the_next() -> None:
    pacer = Pacer(EVERY)
    late, other = pacer.join(), pacer.join()
    first = await other.pause()
    second = await other.pause()
    assert second == pytest.approx(first + EVERY)
    assert await together(late, other) == [pytest.approx(second + EVERY)] * 2


async def test_a_long_absence_is_no_reason_for_moments_that_are_past() -> None:
    turn = Pacer(EVERY).join()
    first = await turn.pause()
    turn._group.moment -= 36_000 * EVERY
    assert await turn.pause() == pytest.approx(first + EVERY)


@pytest.mark.parametrize(
    ("members", "intervals"), [(1, 1), (2, 1), (3, 1.5), (4, 2), (5, 2.5), (9, 4.5)]
)
async def test_with_more_than_a_process_can_serve_all_pause_equally_longer(
    members: int, intervals: float
) -> None:
    pacer = Pacer(EVERY, most=2, rate=2 / EVERY)
    turns = [pacer.join() for _ in range(members)]
    first = await together(*turns)
    again = await together(*turns)
    distances = [later - earlier for earlier, later in zip(first, again, strict=True)]
    assert distances == [pytest.approx(intervals * EVERY)] * members


async def test_who_has_left_keeps_none_waiting_longer() -> None:
    pacer = Pacer(EVERY, rate=1 / EVERY)
    stays, *gone = (pacer.join() for _ in range(5))
    first = await stays.pause()
    for turn in gone:
        turn.leave()
    assert await stays.pause() == pytest.approx(first + EVERY)


async def test_one_that_is_cut_keeps_none_waiting() -> None:
    pacer = Pacer(EVERY)
    cut, other = (asyncio.create_task(pacer.join().pause()) for _ in range(2))
    await asyncio.sleep(0)
    cut.cancel()
    assert await other
    assert cut.cancelled()


async def test_a_moment_comes_once_and_nothing_is_kept_of_a_group_that_was_left() -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, failure: failures.append(failure))
    pacer = Pacer(EVERY)
    turns = [pacer.join(), pacer.join()]
    await together(*turns)
    for turn in turns:
        turn.leave()
    assert not pacer._groups
    assert pacer.interval == EVERY
    assert failures == []
