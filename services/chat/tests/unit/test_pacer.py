"""The common moments at which answers are read."""

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from aula_chat.clients.pacer import Pacer

EVERY = 0.1  # longer than a busy machine keeps a turn of the loop waiting


async def together(pacer: Pacer, *lasts: float | None) -> list[float]:
    return list(await asyncio.gather(*(pacer.pause(last) for last in lasts)))


async def test_who_pauses_meanwhile_joins_the_moment_that_is_next() -> None:
    now = asyncio.get_running_loop().time()
    pacer = Pacer(EVERY)
    moments = await together(pacer, None, None, None)
    assert len(set(moments)) == 1
    assert now < moments[0] <= asyncio.get_running_loop().time()


async def test_who_was_woken_together_stays_together_at_equal_distances() -> None:
    pacer = Pacer(EVERY)
    first = await together(pacer, None, None)
    second = await together(pacer, *first, None)
    assert second == [pytest.approx(first[0] + EVERY)] * 3
    assert len(set(second)) == 1


async def test_who_got_to_a_moment_by_other_sums_is_found_there() -> None:
    last = round(asyncio.get_running_loop().time(), 6)
    moments = await together(Pacer(EVERY), last, last + 1e-9, last - 1e-9)
    assert len(set(moments)) == 1


async def test_a_pause_ends_at_its_moment_and_not_later() -> None:
    loop = asyncio.get_running_loop()
    last, ended = loop.time(), list[str]()

    async def pause() -> None:
        await Pacer(EVERY).pause(last)
        ended.append("pause")

    # timers ring in their order, however busy the machine is
    loop.call_at(last + 1.2 * EVERY, loop.call_soon, ended.append, "what was for later")
    await asyncio.gather(pause(), asyncio.sleep(1.3 * EVERY))
    assert ended == ["pause", "what was for later"]


async def test_a_newcomer_joins_the_group_that_is_next() -> None:
    last = asyncio.get_running_loop().time()
    pacer = Pacer(EVERY)
    later, sooner, newcomer = await together(pacer, last, last - EVERY / 4, None)
    assert newcomer == sooner < later


async def test_a_group_has_no_more_than_a_process_can_serve_at_once() -> None:
    pacer = Pacer(EVERY, most=2)
    counts = Counter(await together(pacer, *[None] * 9))
    assert sorted(counts.values()) == [1, 2, 2, 2, 2]
    distances = [later - earlier for earlier, later in pairwise(sorted(counts))]
    assert min(distances) > EVERY / 10, "groups are spread over the interval"


@pytest.mark.parametrize("late", [0.0, 3600.0])
async def test_who_missed_its_moment_joins_another(late: float) -> None:
    loop = asyncio.get_running_loop()
    pacer = Pacer(EVERY)
    waiting = asyncio.create_task(pacer.pause(None))
    await asyncio.sleep(0)
    missed = await pacer.pause(loop.time() - EVERY - late)
    assert missed == await waiting
    assert missed <= loop.time()


@pytest.mark.parametrize(("others", "intervals"), [(1, 1), (2, 2), (3, 2), (4, 3)])
async def test_with_more_than_a_process_can_serve_all_pause_longer(
    others: int, intervals: int
) -> None:
    pacer = Pacer(EVERY, rate=2 / EVERY)
    waiting = [asyncio.create_task(pacer.pause(None)) for _ in range(others)]
    await asyncio.sleep(0)
    now = asyncio.get_running_loop().time()
    assert await pacer.pause(now) == pytest.approx(now + intervals * EVERY, abs=1e-6)
    await asyncio.gather(*waiting)


async def test_one_that_is_cut_keeps_none_waiting() -> None:
    pacer = Pacer(EVERY)
    cut, other = (asyncio.create_task(pacer.pause(None)) for _ in range(2))
    await asyncio.sleep(0)
    cut.cancel()
    assert await other
    assert cut.cancelled()


async def test_a_moment_comes_once_and_nothing_is_kept_of_it() -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, failure: failures.append(failure))
    pacer = Pacer(EVERY)
    await together(pacer, None, None)
    assert not pacer._moments
    assert failures == []
