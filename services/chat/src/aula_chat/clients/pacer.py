"""Common moments at which the answers of a process are read."""

import asyncio

_GOLDEN = (5**0.5 - 1) / 2  # its multiples are spread evenly, however many they are


class Pacer:
    """Ends pauses in groups of at most `most`, each group's `every` seconds apart.

    Who wakes together shares a turn of the event loop, an append to the log and its answer. Too
    many at once would keep the others waiting. About `rate` pauses end in a second and no more:
    where that does not do, all pause twice as long, or three times.
    """

    def __init__(self, every: float, *, most: int = 50, rate: float = 5000) -> None:
        self._every = every
        self._most = most
        self._at_once = rate * every
        self._moments: dict[float, list[asyncio.Future[None]]] = {}

    async def pause(self, last: float | None) -> float:
        """Wait for the next moment of the group whose `last` moment was this; the moment.

        None, or one whose next is past already, joins the group that is next, if there is room in
        any. Moments are of the event loop's time.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        if last is None or (moment := self._after(last)) <= now:
            moment = min(self._with_room(), default=now + self._every * self._share())
        if moment not in self._moments:
            self._moments[moment] = []
            loop.call_at(moment, self._wake, moment)
        waiting = loop.create_future()
        self._moments[moment].append(waiting)
        await waiting
        return moment

    def _after(self, last: float) -> float:
        waiting = sum(map(len, self._moments.values()))
        intervals = 1 + int(waiting / self._at_once)
        # rounded, so that who got there by other intervals is found there
        return round(last + intervals * self._every, 6)

    def _with_room(self) -> list[float]:
        return [moment for moment, those in self._moments.items() if len(those) < self._most]

    def _share(self) -> float:
        """How much of an interval a further group begins with: they are spread over it."""
        return 1 - len(self._moments) * _GOLDEN % 1

    def _wake(self, moment: float) -> None:
        for waiting in self._moments.pop(moment):
            if not waiting.done():  # it is cancelled when its stream is cut
                waiting.set_result(None)
