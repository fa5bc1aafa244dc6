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
# the first of the messages with the session, the others alone
_ONE_BY_ONE: list[Document] = [
    {
        "$unwind": {
            "path": "$newest",
            "includeArrayIndex": "index",
            "preserveNullAndEmptyArrays": True,
        }
    },
    {"$replaceWith": {"$cond": [{"$gt": ["$index", 0]}, {"newest": "$newest"}, "$$ROOT"]}},
]


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
        found: list[Document] = []
        if "position" in newest:
            found = await _all(self._messages, self._by_messages(newest, wanted, limit), limit)
        if len(found) < limit:  # not known to be long; or many were deleted lately
            found = await _all(self._sessions, self._by_session(wanted, limit), limit)
        if not found:
            return None
        messages = [one["newest"] for one in reversed(found) if "newest" in one]
        seen = _to_sight(found[0], messages, whole=len(messages) < limit)
        self._remember(session_id, seen.last_position)
        return seen

    def _by_session(self, wanted: Document, limit: int) -> list[Document]:
        """The session, joined with its messages.

        The embedded server finds both by indexes, and reads and sorts all messages of the session.
        """
        newest: Document = {
            "from": self._messages.name,
            "localField": "_id",
            "foreignField": "sessionId",
            "pipeline": _newest_first(limit),
            "as": "newest",
        }
        return [{"$match": wanted}, {"$lookup": newest}, *_ONE_BY_ONE]

    def _by_messages(self, newest: Document, wanted: Document, limit: int) -> list[Document]:
        """The messages that match `newest`, joined with their session; nothing if there are none.

        The embedded server finds both by indexes, and reads none of the other messages.
        """
        session: Document = {
            "from": self._sessions.name,
            "localField": "_id",
            "foreignField": "_id",
            "pipeline": [{"$match": wanted}],
            "as": "session",
        }
        # the session is read once; even the longest messages of a prompt fit into its document
        group = {"_id": {"$literal": wanted["_id"]}, "newest": {"$push": "$$ROOT"}}
        return [
            {"$match": newest},
            *_newest_first(limit),
            {"$group": group},
            {"$lookup": session},
            {"$unwind": "$session"},
            {"$replaceWith": {"$mergeObjects": ["$session", {"newest": "$newest"}]}},
            *_ONE_BY_ONE,
        ]

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
        # running: this very write, repeated by the driver; what is free again has ended
        ours: Document = {"$and": _ours(stream, Phase.CLAIMED, Phase.RUNNING)}
        promised = literal(
            phase=str(Phase.RUNNING), reservation=from_reservation(stream.reservation)
        )
        promised |= lease(lease_seconds)
        writes = [
            _condition(self._sessions, stream.session_id, "userId", unchanged),
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
            return (Beginning.CHANGED, Beginning.FENCED)[_refused(error)]
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
        fenced off; may be repeated, and does nothing once the session is free: what came after may
        have been answered, or this deleted.
        """
        session, counted = answered(ended, title=title)
        published: Document = {"_id": ended.id, "fence": ended.fence, "phase": str(Phase.ENDED)}
        ours = {"$and": [{"$eq": ["$live", True]}, *_ours(ended, Phase.ENDED)]}
        writes = [
            _condition(self._streams, ended.id, "fence", ours),
            *(self._keep(message, fence=ended.fence) for message in messages),
            UpdateOne(session, counted, namespace=self._sessions.full_name),
            UpdateOne(
                published,
                released(ended, ended.settlement),
                namespace=self._streams.full_name,
            ),
        ]
        try:
            with mongo_errors():
                result = await self._client.bulk_write(writes, ordered=True, verbose_results=True)
        except ClientBulkWriteException as error:
            _refused(error)
            with mongo_errors():
                freed = await self._streams.find_one({**published, "live": {"$exists": False}})
            return freed is not None
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
        # one more than there can be, so that the first answer has all, and says that it does
        cursor = await collection.aggregate(pipeline, batchSize=limit + 1)
        return await cursor.to_list()


def _if(field: str, holds: Document) -> Document:
    """Set a field to itself; where it doesn't hold, or there is no document, the update fails.

    What a plain condition does not match is no error, and would not keep back what follows.
    """
    # the condition inside the conversion: a constant one would fail before anything is read
    index = {"$toInt": {"$cond": [holds, 0, "refused"]}}
    return {field: {"$arrayElemAt": [[f"${field}"], index]}}


def _condition(
    collection: AsyncCollection[Document], document_id: str, field: str, holds: Document
) -> UpdateOne:
    """A write that changes nothing, and keeps back what follows where it doesn't hold."""
    update = [{"$set": _if(field, holds)}]
    return UpdateOne({"_id": document_id}, update, upsert=True, namespace=collection.full_name)


def _ours(stream: Stream, *phases: Phase) -> list[Document]:
    """That the stream is under its fence, and in one of these phases."""
    return [{"$eq": ["$fence", stream.fence]}, {"$in": ["$phase", [str(one) for one in phases]]}]


def _refused(error: ClientBulkWriteException) -> int:
    """Which of the writes was refused by its condition; raises the error if none was."""
    for refused in error.details["writeErrors"]:  # one, as they are in order
        if refused["code"] == _CONVERSION_FAILURE:
            index: int = refused["idx"]
            return index
    raise error


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
