"""The stream documents: claim, lease, fence, checkpoint, intent.

Leases are milliseconds of the database's own clock, and every write that matters is one
conditional update on the fence, so that no process's clock and no sleeper decides anything.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from pymongo import ASCENDING, DESCENDING, ReturnDocument, UpdateMany, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from aula_chat.domain.streams import (
    Checkpoint,
    ExpiredLease,
    Outcome,
    Phase,
    Settlement,
    SettlementIntent,
    Stream,
    Unsettled,
)
from aula_chat.storage.stream_documents import (
    Document,
    from_intent,
    from_outcome,
    from_reservation,
    to_stream,
)
from aula_chat.storage.stream_updates import (
    NOW_MS,
    lease,
    literal,
    released,
    settled,
    with_checkpoint,
)
from aula_common.errors import UnavailableError
from aula_common.mongo import mongo_errors

_CLAIM_ATTEMPTS = 3
_COUNTED_UNSETTLED = 10_000
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)
# past by any clock, and no lease runs out at that time by itself; what the owner has sent and
# the database has not seen yet is refused by the fence
_GIVEN_UP_MS = 0
_GIVEN_UP: Document = {"leaseMs": _GIVEN_UP_MS, "fence": {"$add": ["$fence", 1]}}
# what is merely claimed is promised to nobody
_PROMISED: Document = {
    "$or": [{"phase": str(Phase.RUNNING)}, {"outcome.status": {"$exists": True}}]
}


def _later(session_id: str, after: datetime | None) -> Document:
    later = {} if after is None else {"startedAt": {"$gt": after}}
    return {"sessionId": session_id, **later}


class StreamRepository:
    """The collection `streams`."""

    def __init__(self, collection: AsyncCollection[Document]) -> None:
        self._streams = collection

    async def claim(self, stream: Stream, *, lease_seconds: float) -> Stream | None:
        """Take the session for this stream.

        None if it is taken now; else the stream that stands in the way: the session's live
        one, or the one that was started under the same key.
        """
        fields = literal(
            sessionId=stream.session_id,
            userId=stream.user_id,
            owner=stream.owner,
            fence=stream.fence,
            phase=str(stream.phase),
            live=True,
            question=stream.question,
            questionId=stream.question_id,
            answerId=stream.answer_id,
            position=stream.position,
            reservation=from_reservation(stream.reservation),
            startedAt=stream.started_at,
            droppedMessages=stream.dropped_messages,
        )
        if stream.idempotency_key is not None:
            fields |= literal(idempotencyKey=stream.idempotency_key, bodyDigest=stream.body_digest)
        if stream.traceparent is not None:
            fields |= literal(traceparent=stream.traceparent)
        update = [{"$set": {**fields, **lease(lease_seconds)}}]
        for _ in range(_CLAIM_ATTEMPTS):
            try:
                with mongo_errors():
                    await self._streams.update_one({"_id": stream.id}, update, upsert=True)
            except DuplicateKeyError:
                in_the_way = await self._in_the_way(stream)
                if in_the_way is not None:
                    return in_the_way
            else:
                return None
        raise UnavailableError("the session", retry_after=1)  # taken and freed by others each time

    async def renew(
        self, stream_id: str, fence: int, *, lease_seconds: float, checkpoint: Checkpoint | None
    ) -> bool | None:
        """Renew the lease and store the checkpoint, if given.

        Whether a stop was asked for; None if the stream is no longer under this fence.
        """
        fields = lease(lease_seconds)
        if checkpoint is not None:
            fields |= with_checkpoint(checkpoint)
        with mongo_errors():
            document = await self._streams.find_one_and_update(
                {"_id": stream_id, "fence": fence, "live": True},
                [{"$set": fields}],
                projection={"stopAsked": 1},
            )
        return None if document is None else bool(document.get("stopAsked"))

    async def renew_all(
        self, checkpoints: Sequence[tuple[Stream, Checkpoint]], *, lease_seconds: float
    ) -> frozenset[str]:
        """Renew many leases, each with a checkpoint, in one command; the ids of those renewed.

        What is left out is no longer under its fence, or was asked to stop: `renew` tells which.
        """
        writes = [
            UpdateOne(
                {
                    "_id": stream.id,
                    "fence": stream.fence,
                    "live": True,
                    "stopAsked": {"$ne": True},
                },
                [{"$set": lease(lease_seconds) | with_checkpoint(checkpoint)}],
                namespace=self._streams.full_name,
            )
            for stream, checkpoint in checkpoints
        ]
        client = self._streams.database.client
        with mongo_errors():
            result = await client.bulk_write(writes, ordered=False, verbose_results=True)
        return frozenset(
            stream.id
            for index, (stream, _) in enumerate(checkpoints)
            if result.update_results[index].matched_count
        )

    async def end(
        self,
        stream: Stream,
        *,
        outcome: Outcome | None,
        intent: SettlementIntent,
        last_number: int,
        ended_at: datetime,
        lease_seconds: float,
    ) -> bool:
        """Store how the stream ended and what it costs, in one write. False if fenced off.

        The session stays taken until `release`. Without an outcome nothing was promised, and the
        idempotency key is free for the next attempt.
        """
        fields = literal(
            phase=str(Phase.ENDED),
            outcome=from_outcome(outcome) if outcome else None,
            intent=from_intent(intent),
            unsettled=True,
            lastNumber=last_number,
            endedAt=ended_at,
        )
        forgotten = () if outcome else ("idempotencyKey", "bodyDigest")
        return await self._advance(stream, fields, lease_seconds, forgotten)

    async def release(self, stream: Stream, *, settlement: Settlement | None) -> bool:
        """Free the session of an ended stream, with accounting's answer if it came in time.

        The conversation holds the text by now, and who deletes it there deletes it: the stream
        keeps none. False if fenced off; may be repeated.
        """
        with mongo_errors():
            result = await self._streams.update_one(
                {"_id": stream.id, "fence": stream.fence, "phase": str(Phase.ENDED)},
                released(stream, settlement),
            )
        return result.matched_count == 1

    async def discard(self, stream: Stream) -> None:
        """Remove a claim of which nothing came."""
        with mongo_errors():
            await self._streams.delete_one({"_id": stream.id, "fence": stream.fence})

    async def ask_stop(self, session_id: str) -> Stream | None:
        """Flag the session's live stream to stop; the stream, or None if nothing runs."""
        with mongo_errors():
            document = await self._streams.find_one_and_update(
                {"sessionId": session_id, "live": True, "phase": {"$ne": str(Phase.ENDED)}},
                {"$set": {"stopAsked": True}},
                return_document=ReturnDocument.AFTER,
            )
        return to_stream(document) if document else None

    async def find(self, stream_id: str) -> Stream | None:
        """The stream of that id."""
        return await self._find_one({"_id": stream_id})

    async def find_live(self, session_id: str) -> Stream | None:
        """The session's live stream."""
        return await self._find_one({"sessionId": session_id, "live": True})

    async def find_latest(self, session_id: str) -> Stream | None:
        """The session's stream that was promised last, running or ended."""
        with mongo_errors():
            async for document in (
                self._streams.find({"sessionId": session_id, "phase": {"$ne": str(Phase.CLAIMED)}})
                .sort("startedAt", DESCENDING)
                .limit(1)
            ):
                return to_stream(document)
        return None

    async def find_next(self, session_id: str, after: datetime | None) -> Stream | None:
        """The session's first promised stream that started later than `after`."""
        query = {**_PROMISED, **_later(session_id, after)}
        with mongo_errors():
            async for document in self._streams.find(query).sort("startedAt", ASCENDING).limit(1):
                return to_stream(document)
        return None

    async def find_all_next(
        self, positions: Collection[tuple[str, datetime | None]]
    ) -> list[Stream]:
        """The promised streams of these sessions that started later, those of each in order."""
        later = [_later(session_id, after) for session_id, after in positions]
        with mongo_errors():
            cursor = self._streams.find({"$and": [{"$or": later}, _PROMISED]})
            found = [to_stream(document) async for document in cursor]
        return sorted(found, key=lambda stream: stream.started_at)

    async def give_up(
        self, owner: str, checkpoints: Sequence[tuple[Stream, Checkpoint]] = ()
    ) -> int:
        """Give up every live stream of this owner, some with a last checkpoint; how many.

        From then on anybody may take them, and no write under the owner's fences is taken.
        """
        writes: list[UpdateOne | UpdateMany] = [
            UpdateOne(
                {"_id": stream.id, "fence": stream.fence, "live": True},
                [{"$set": {**_GIVEN_UP, **with_checkpoint(checkpoint)}}],
            )
            for stream, checkpoint in checkpoints
        ]
        others = {"owner": owner, "live": True, "leaseMs": {"$gt": _GIVEN_UP_MS}}
        writes.append(UpdateMany(others, [{"$set": _GIVEN_UP}]))
        with mongo_errors():
            result = await self._streams.bulk_write(writes)
        return result.matched_count

    async def find_expired(self, limit: int = 20) -> list[ExpiredLease]:
        """Live streams whose lease is past by the database's clock, those given up first."""
        query = {"live": True, "$expr": {"$lt": ["$leaseMs", NOW_MS]}}
        with mongo_errors():
            cursor = (
                self._streams.find(query, {"leaseMs": 1}).sort("leaseMs", ASCENDING).limit(limit)
            )
            return [
                ExpiredLease(document["_id"], given_up=document["leaseMs"] == _GIVEN_UP_MS)
                async for document in cursor
            ]

    async def take(self, stream_id: str, *, owner: str, lease_seconds: float) -> Stream | None:
        """Raise the fence of a stream whose lease is past and own it; None if it isn't past."""
        with mongo_errors():
            document = await self._streams.find_one_and_update(
                {"_id": stream_id, "live": True, "$expr": {"$lt": ["$leaseMs", NOW_MS]}},
                [
                    {
                        "$set": {
                            "fence": {"$add": ["$fence", 1]},
                            **literal(owner=owner),
                            **lease(lease_seconds),
                        }
                    }
                ],
                return_document=ReturnDocument.AFTER,
            )
        return to_stream(document) if document else None

    async def find_unsettled(
        self, *, after: datetime | None = None, limit: int = 50
    ) -> list[Stream]:
        """Ended and freed streams whose intent accounting has not answered yet, oldest first.

        Those that ended later than `after`, if it is given.
        """
        query: Document = {"unsettled": True, "live": {"$exists": False}}
        if after is not None:
            query["endedAt"] = {"$gt": after}
        with mongo_errors():
            cursor = self._streams.find(query).sort("endedAt", ASCENDING).limit(limit)
            return [to_stream(document) async for document in cursor]

    async def measure_unsettled(self, limit: int = _COUNTED_UNSETTLED) -> Unsettled:
        """Count the ends that accounting has not answered yet, those too that nobody has freed.

        Whichever process wrote them; one look at the partial index, at `limit` entries at most.
        """
        pipeline: list[Document] = [
            # a bound on the index's field has it used, and leaves out nothing
            {"$match": {"unsettled": True, "endedAt": {"$gt": _BEFORE_ALL}}},
            {"$sort": {"endedAt": ASCENDING}},
            {"$limit": limit},
            {"$group": {"_id": None, "count": {"$sum": 1}, "oldest": {"$min": "$endedAt"}}},
        ]
        with mongo_errors():
            async for found in await self._streams.aggregate(pipeline):
                return Unsettled(found["count"], found["oldest"])
        return Unsettled()

    async def record_settlement(self, stream_id: str, settlement: Settlement) -> None:
        """Keep accounting's answer."""
        fields = settled(settlement)
        with mongo_errors():
            await self._streams.update_one(
                {"_id": stream_id}, [{"$set": fields}, {"$unset": ["unsettled"]}]
            )

    async def ended_of_session(self, session_id: str) -> list[str]:
        """The ids of the session's ended and freed streams."""
        ended = {"sessionId": session_id, "live": {"$exists": False}}
        with mongo_errors():
            cursor = self._streams.find(ended, {"_id": 1})
            return [str(document["_id"]) async for document in cursor]

    async def delete_settled(self, stream_ids: Sequence[str]) -> None:
        """Remove those of these streams that are settled; an unsettled one stays until it is."""
        with mongo_errors():
            await self._streams.delete_many(
                {"_id": {"$in": list(stream_ids)}, "unsettled": {"$ne": True}}
            )

    async def _advance(
        self,
        stream: Stream,
        fields: Document,
        lease_seconds: float,
        forgotten: Sequence[str] = (),
    ) -> bool:
        update: list[Document] = [{"$set": {**fields, **lease(lease_seconds)}}]
        if forgotten:
            update.append({"$unset": list(forgotten)})
        with mongo_errors():
            result = await self._streams.update_one(
                {"_id": stream.id, "fence": stream.fence, "live": True}, update
            )
        return result.matched_count == 1

    async def _in_the_way(self, stream: Stream) -> Stream | None:
        if stream.idempotency_key is not None:
            query = {"userId": stream.user_id, "idempotencyKey": stream.idempotency_key}
            if (same := await self._find_one(query)) is not None:
                return same
        return await self.find_live(stream.session_id)

    async def _find_one(self, query: Document) -> Stream | None:
        with mongo_errors():
            document = await self._streams.find_one(query)
        return to_stream(document) if document else None
