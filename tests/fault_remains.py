"""What is left of a deleted session: in chat's database, in the logs, in accounting."""

from dataclasses import dataclass, replace
from typing import Any

import pymongo
import redis
from e2e_people import Shown
from fault_checks import Cell, Scene, check_goes_on, check_reconciled
from pymongo.database import Database

from aula_devstack.platform import Platform

_DATABASE = "aula_chat"
_COLLECTIONS = ("sessions", "messages", "streams")
_NOT_FOUND = 404


@dataclass(frozen=True)
class Remains:
    """The documents that name a session, by collection, and the keys of its streams' logs."""

    documents: dict[str, list[dict[str, Any]]]
    logs: list[str]

    @classmethod
    def of(cls, platform: Platform, session_id: str, stream_ids: list[str]) -> "Remains":
        """Those that there are now."""
        query = {"$or": [{"_id": session_id}, {"sessionId": session_id}]}
        client: pymongo.MongoClient[dict[str, Any]]
        with pymongo.MongoClient(platform.mongo.url) as client:
            database: Database[dict[str, Any]] = client[_DATABASE]
            documents = {name: list(database[name].find(query)) for name in _COLLECTIONS}
        keys = [f"aula:stream:{{{stream_id}}}:log" for stream_id in stream_ids]
        with redis.Redis.from_url(platform.redis.url) as log:
            return cls(documents, [key for key in keys if log.exists(key)])

    @property
    def messages(self) -> int:
        """How many messages."""
        return len(self.documents["messages"])

    def hold(self, text: str) -> bool:
        """Whether any document holds this text."""
        return any(text in str(document) for found in self.documents.values() for document in found)


def streams_of(platform: Platform, session_id: str) -> list[str]:
    """The ids of a session's streams."""
    return [
        str(document["_id"])
        for document in Remains.of(platform, session_id, []).documents["streams"]
    ]


async def check_deleted(
    cell: Cell, scene: Scene, platform: Platform, stream_ids: list[str], shown: Shown
) -> None:
    """Nothing of the session is left, but what a settlement still needs, and that has no text."""
    path = f"/api/chat/sessions/{scene.session_id}"
    for address in (path, f"{path}/messages", scene.path):
        answer = await scene.student.client.get(address)
        cell.check("absent", answer.status_code == _NOT_FOUND)
    left = Remains.of(platform, scene.session_id, stream_ids)
    cell.check("no session, no message", not left.documents["sessions"] and not left.messages)
    shown_text = shown.text[:40]
    held = left.hold(scene.story) or (shown_text and left.hold(shown_text))
    cell.check("no text in stream documents", not held)
    cell.check("no live stream", not any(one.get("live") for one in left.documents["streams"]))
    cell.check("no log", stream_ids and left.logs == [])


async def check_paid(cell: Cell, scene: Scene, stream_ids: list[str]) -> None:
    """As `check_books`, and the student's next session is answered."""
    await check_books(cell, scene, stream_ids)
    another = replace(scene, session_id=await scene.student.new_session())
    await check_goes_on(cell, another)


async def check_books(cell: Cell, scene: Scene, stream_ids: list[str]) -> None:
    """Each stream of the deleted session was settled once, nothing is held, the ledger is clean."""

    async def settled() -> bool:
        found = [await scene.reservation(stream_id) for stream_id in stream_ids]
        return all(one["settlement"] for one in found)

    await cell.reach("settled", settled)
    charge = 0
    for stream_id in stream_ids:
        reservation = await scene.reservation(stream_id)
        entries = [e["amount"] for e in reservation["entries"] if e["kind"] == "settle"]
        cell.check("settled once, ≤ hold", len(entries) <= 1)
        cell.check("charge ≤ hold", sum(entries) <= reservation["allocatedCredits"])
        charge += sum(entries)
    balance = await scene.student.credits()
    cell.check("nothing held", balance["held"] == 0)
    cell.check("balance", balance["available"] == scene.available - charge)
    await check_reconciled(cell, scene)
