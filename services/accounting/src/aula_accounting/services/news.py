"""Publishing news, at least once and in order for each user."""

from prometheus_client import Counter

from aula_accounting.domain.ports import NewsStream, StartWork

_BATCH = 200


class NewsRelay:
    """Carries news from the database to the stream. Safe beside any number of other relays.

    What was published and could not be removed is published again, under the same id.
    """

    def __init__(self, *, start_work: StartWork, stream: NewsStream, published: Counter) -> None:
        self._start_work = start_work
        self._stream = stream
        self._published = published

    async def publish_pending(self) -> int:
        """Publish all that waits; how much that was. UnavailableError: it goes on waiting."""
        total = 0
        while True:
            async with self._start_work() as work:
                pending = await work.outbox.claim(limit=_BATCH)
                if not pending:
                    return total
                await self._stream.publish(pending)
                await work.outbox.remove([one.id for one in pending])
                await work.commit()
            self._published.inc(len(pending))
            total += len(pending)
            if len(pending) < _BATCH:
                return total
