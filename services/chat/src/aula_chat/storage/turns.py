"""What a turn reads and writes in several collections at once: one command each.

The writes of one command are done in order, up to the first that is refused.
"""

from collections.abc import Sequence
from typing import Any

from pymongo import DESCENDING, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ClientBulkWriteException

from aula_chat.domain.language_models import Turn
from aula_chat.domain.messages import Message
from aula_chat.domain.prompts import Conversation
from aula_chat.domain.streams import Phase, Stream
from aula_chat.domain.turns import Beginning, Sight
from aula_chat.storage.messages import kept, newest_of
from aula_chat.storage.sessions import answered, to_session
from aula_chat.storage.stream_documents import from_reservation
from aula_chat.storage.stream_updates import lease, literal, released
from aula_common.mongo import mongo_errors

Document = dict[str, Any]
_CONVERSION_FAILURE = 241
_REMEMBERED = 10_000
_MESSAGE_ALONE = {"newest": "$newest"}


class TurnRepository:
    """The collections `sessions`, `messages` and `streams` together."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._client = database.client
        self._sessions = database["sessions"]
        self._messages = database["messages"]
        self._streams = database["streams"]
        # where a conversation ended when it was last seen here; only what a read costs hangs on it
        self._ends: dict[str, int] = {}

    async def look(self, session_id: str, user_id: str, *, limit: int) -> Sight | None:
        """That person's session and the newest of its messages; None if there is none.

        They are fewer than `limit`: a whole `limit` of them says that there may be more, and the
        oldest is left out.
        """
        wanted: Document = {"_id": session_id, "userId": user_id}
        newest = newest_of(session_id, limit, self._ends.get(session_id, 0))
        if "position" in newest:
            session, messages = await self._look_at_long(wanted, newest, limit)
            if session is not None and len(messages) < limit:  # many were deleted lately
                session, messages = await self._look_at_any(wanted, limit)
        else:
            session, messages = await self._look_at_any(wanted, limit)
        if session is None:
            return None
        seen = _to_sight(session, messages[::-1], whole=len(messages) < limit)
        self._remember(session_id, seen.last_position)
        return seen

    async def _look_at_any(
        self, wanted: Document, limit: int
    ) -> tuple[Document | None, list[Document]]:
        """The session and its messages, newest first.

        The embedded server finds both by indexes, and sorts all messages of the session.
        """
        pipeline: list[Document] = [
            {"$match": wanted},
            {
                "$lookup": {
                    "from": self._messages.name,
                    "localField": "_id",
                    "foreignField": "sessionId",
                    "pipeline": _newest_first(limit),
                    "as": "newest",
                }
            },
            # else all of them would have to fit into one document
            {
                "$unwind": {
                    "path": "$newest",
                    "includeArrayIndex": "index",
                    "preserveNullAndEmptyArrays": True,
                }
            },
            {"$replaceWith": {"$cond": [{"$gt": ["$index", 0]}, _MESSAGE_ALONE, "$$ROOT"]}},
        ]
        found = await _all(self._sessions, pipeline, limit)
        messages = [one["newest"] for one in found if "newest" in one]
        return (found[0] if found else None), messages

    async def _look_at_long(
        self, wanted: Document, newest: Document, limit: int
    ) -> tuple[Document | None, list[Document]]:
        """The same from the messages that match `newest`.

        The embedded server finds these by an index, and goes through all sessions.
        """
        union = {"coll": self._sessions.name, "pipeline": [{"$match": wanted}]}
        pipeline = [{"$match": newest}, *_newest_first(limit), {"$unionWith": union}]
        *messages, session = await _all(self._messages, pipeline, limit) or [{}]
        return (session, messages) if "_id" in session else (None, [])

    async def begin(
        self, stream: Stream, question: Message, *, after: str | None, lease_seconds: float
    ) -> Beginning:
        """Promise the stream: it is running, and its user's message is kept.

        Unless its session has another owner by now, or another last stream than `after`. Nothing
        is kept where it is refused.
        """
        unchanged: Document = {
            "$and": [
                {"$eq": ["$userId", {"$literal": stream.user_id}]},
                {"$eq": [{"$ifNull": ["$lastStreamId", None]}, {"$literal": after}]},
            ]
        }
        ours: Document = {
            "$and": [
                {"$eq": ["$fence", stream.fence]},
                # running: this very write, repeated by the driver; what is free again has ended
                {"$in": ["$phase", [str(Phase.CLAIMED), str(Phase.RUNNING)]]},
            ]
        }
        promised = literal(
            phase=str(Phase.RUNNING), reservation=from_reservation(stream.reservation)
        )
        promised |= lease(lease_seconds)
        writes = [
            UpdateOne(
                {"_id": stream.session_id},
                [{"$set": _if("userId", unchanged)}],
                upsert=True,
                namespace=self._sessions.full_name,
            ),
            UpdateOne(
                {"_id": stream.id},
                [{"$set": {**_if("fence", ours), **promised}}],
                upsert=True,
                namespace=self._streams.full_name,
            ),
            self._keep(question, fence=stream.fence),
        ]
        try:
            with mongo_errors():
                await self._client.bulk_write(writes, ordered=True)
        except ClientBulkWriteException as error:
            for refused in error.details["writeErrors"]:  # one, as they are in order
                if refused["code"] == _CONVERSION_FAILURE:
                    return (Beginning.CHANGED, Beginning.FENCED)[refused["idx"]]
            raise
        return Beginning.BEGUN

    async def publish(
        self,
        ended: Stream,
        messages: Sequence[Message],
        *,
        title: str,
    ) -> bool:
        """Keep the messages of an ended stream, count it in its session, and free that.

        An untitled session takes the title. The settlement is kept if the stream has one. False if
        fenced off; may be repeated.
        """
        session, counted = answered(ended, title=title)
        writes = [
            *(self._keep(message, fence=ended.fence) for message in messages),
            UpdateOne(session, counted, namespace=self._sessions.full_name),
            UpdateOne(
                {"_id": ended.id, "fence": ended.fence, "phase": str(Phase.ENDED)},
                released(ended, ended.settlement),
                namespace=self._streams.full_name,
            ),
        ]
        with mongo_errors():
            result = await self._client.bulk_write(writes, ordered=True, verbose_results=True)
        self._remember(ended.session_id, ended.position + 1)
        return result.update_results[len(writes) - 1].matched_count == 1

    def _remember(self, session_id: str, last_position: int) -> None:
        self._ends.pop(session_id, None)
        self._ends[session_id] = last_position
        if len(self._ends) > _REMEMBERED:
            del self._ends[next(iter(self._ends))]  # the one that was seen the longest ago

    def _keep(self, message: Message, *, fence: int) -> UpdateOne:
        wanted, update = kept(message, fence=fence)
        return UpdateOne(wanted, update, upsert=True, namespace=self._messages.full_name)


def _newest_first(limit: int) -> list[Document]:
    return [
        {"$sort": {"position": DESCENDING}},
        {"$limit": limit},
        {"$project": {"_id": 0, "role": 1, "content": 1, "position": 1}},
    ]


async def _all(
    collection: AsyncCollection[Document], pipeline: list[Document], limit: int
) -> list[Document]:
    with mongo_errors():
        # more than there can be, so that the first answer has all, and says that it does
        cursor = await collection.aggregate(pipeline, batchSize=limit + 2)
        return await cursor.to_list()


def _if(field: str, holds: Document) -> Document:
    """Set a field to itself; where it doesn't hold, or there is no document, the update fails.

    What a plain condition does not match is no error, and would not keep back what follows.
    """
    # the condition inside the conversion: a constant one would fail before anything is read
    index = {"$toInt": {"$cond": [holds, 0, "refused"]}}
    return {field: {"$arrayElemAt": [[f"${field}"], index]}}


def _to_sight(session: Document, messages: Sequence[Document], *, whole: bool) -> Sight:
    given = messages if whole else messages[1:]
    return Sight(
        session=to_session(session),
        conversation=Conversation(
            turns=tuple(Turn(role=one["role"], text=one["content"]) for one in given),
            earlier=0 if whole else messages[0]["position"],
            last_position=messages[-1]["position"] if messages else 0,
        ),
    )
