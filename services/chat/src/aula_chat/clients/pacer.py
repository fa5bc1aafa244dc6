"""Common moments at which the answers of a process are read."""

import asyncio
from itertools import pairwise


class Pacer:
    """Ends the pauses of those who joined it in groups of at most `most`, `every` seconds apart.

    Who wakes together shares a turn of the event loop, an append to the log and its answer. Too
    many at once would keep the others waiting. No more than `rate` pauses end in a second: where
    that does not do, all pause longer, by as much as there are more.
    """

    def __init__(self, every: float, *, most: int = 50, rate: float = 5000) -> None:
        self._every = every
        self._most = most
        self._rate = rate
        self._members = 0
        self._groups: list[_Group] = []

    @property
    def interval(self) -> float:
        """Seconds from a moment of a group to its next."""
        return max(self._every, self._members / self._rate)

    def join(self) -> "Turn":
        """A place in a group that has room: the one whose moment is next."""
        moments = [
            (group.next_after(_now(), self.interval), group)
            for group in self._groups
            if group.members < self._most
        ]
        if moments:
            _, group = min(moments, key=lambda one: one[0])
        else:
            group = _Group(self._between())
            self._groups.append(group)
        group.members += 1
        self._members += 1
        return Turn(self, group)

    def leave(self, group: "_Group") -> None:
        """Give up a place in that group."""
        group.members -= 1
        self._members -= 1
        if not group.members:
            self._groups.remove(group)

    def _between(self) -> float:
        """A further group's moment: as far from all others' as there is."""
        now, interval = _now(), self.interval
        moments = sorted(group.next_after(now, interval) for group in self._groups)
        if not moments:
            return now + interval
        moments.append(moments[0] + interval)
        width, begin = max((later - earlier, earlier) for earlier, later in pairwise(moments))
        return begin + width / 2 - interval


class Turn:
    """One answer's place in a group; to be left when the answer is not read any more."""

    def __init__(self, pacer: Pacer, group: "_Group") -> None:
        self._pacer = pacer
        self._group = group

    async def pause(self) -> float:
        """Wait for the group's next moment, of the event loop's time; the moment."""
        group = self._group
        if not group.waiting:
            group.moment = group.next_after(_now(), self._pacer.interval)
            asyncio.get_running_loop().call_at(group.moment, group.wake)
        moment, waiting = group.moment, asyncio.get_running_loop().create_future()
        group.waiting.append(waiting)
        await waiting
        return moment

    def leave(self) -> None:
        """Give up the place."""
        self._pacer.leave(self._group)


class _Group:
    """Those who wake at one `moment`, which is past when none of them waits."""

    def __init__(self, moment: float) -> None:
        self.moment = moment
        self.members = 0
        self.waiting: list[asyncio.Future[None]] = []

    def next_after(self, now: float, interval: float) -> float:
        """The first moment after now, at whole intervals from the last."""
        if self.moment > now:
            return self.moment
        return self.moment + interval * (1 + (now - self.moment) // interval)

    def wake(self) -> None:
        """End the pauses of all who wait."""
        woken, self.waiting = self.waiting, []
        for waiting in woken:
            if not waiting.done():  # it is cancelled when its stream is cut
                waiting.set_result(None)


def _now() -> float:
    return asyncio.get_running_loop().time()
