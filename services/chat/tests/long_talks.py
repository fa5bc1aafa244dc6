"""Conversations that are long from the start, and what MongoDB is made to do for them."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import bson
import pymongo
from pymongo import monitoring
from pymongo.asynchronous.database import AsyncDatabase
from stream_builders import MOMENT

WORDS = "They spoke of rain and of the sea. "


@dataclass(frozen=True)
class Reply:
    """An answer of the server: to which command, how many documents, how many bytes of them."""

    command: str
    collection: str
    documents: int
    size: int


@dataclass
class Replies(monitoring.CommandListener):
    """The answers to a client's commands, in order; `sent` are the commands."""

    seen: list[Reply] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    _asked: dict[int, str] = field(default_factory=dict)

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.sent.append(dict(event.command))
        self._asked[event.request_id] = str(event.command[event.command_name])

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        cursor = event.reply.get("cursor", {})
        batch = cursor.get("firstBatch", cursor.get("nextBatch", []))
        collection = self._asked.pop(event.request_id)  # others may be asked for at the same time
        size = sum(len(bson.encode(document)) for document in batch)
        self.seen.append(Reply(event.command_name, collection, len(batch), size))

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        raise AssertionError(f"{event.command_name} failed: {event.failure}")

    def of(self, collection: str) -> list[Reply]:
        return [reply for reply in self.seen if reply.collection == collection]


def messages(session_id: str, count: int, words: str = WORDS) -> list[dict[str, Any]]:
    """The documents of so many messages, questions and answers by turns, of one size each."""
    return [
        {
            "_id": f"{session_id}-{position}",
            "sessionId": session_id,
            "userId": "usr_a",
            "position": position,
            "role": "user" if position % 2 else "assistant",
            "content": f"{position:06} {words}",
            "status": "complete",
            "createdAt": MOMENT + timedelta(seconds=position),
            "metadata": {"usage": {"inputTokens": 1, "outputTokens": 9, "estimated": False}},
            "fence": 1,
        }
        for position in range(1, count + 1)
    ]


def lengthen(mongo_uri: str, session_id: str, count: int, words: str = WORDS) -> None:
    """Give an empty session so many messages, as if they had been written."""
    with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
        database = client.get_default_database()
        database["messages"].insert_many(messages(session_id, count, words))
        database["sessions"].update_one({"_id": session_id}, {"$set": {"lastPosition": count}})


async def examined(store: AsyncDatabase[dict[str, Any]], read: dict[str, Any]) -> int:
    """How many documents the server looks at, by the declared index.

    This one reads the whole range and sorts it; MongoDB reads the index in order and ends at the
    limit.
    """
    if "aggregate" in read:
        stages = _stages(read["pipeline"])
        found, wanted = read["aggregate"], stages["$match"]
        if "$sort" not in stages:  # the messages are those that are joined
            join = stages["$lookup"]
            found, wanted = join["from"], {join["foreignField"]: wanted[join["localField"]]}
            stages = _stages(join["pipeline"])
        read = {"find": found, "filter": wanted, "sort": stages["$sort"], "limit": stages["$limit"]}
    asked = {
        name: read[name] for name in ("find", "filter", "sort", "skip", "limit") if name in read
    }
    plan = await store.command({"explain": asked, "verbosity": "executionStats"})
    assert "'indexName': 'order'" in str(plan["queryPlanner"]["winningPlan"])
    count: int = plan["executionStats"]["totalDocsExamined"]
    return count


def _stages(pipeline: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for stage in pipeline for name, value in stage.items()}
