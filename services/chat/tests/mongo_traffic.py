"""The commands that a chat process sends to MongoDB."""

from collections import Counter
from typing import Any

import pytest
from pymongo import AsyncMongoClient, monitoring

import aula_common.mongo


class MongoTraffic(monitoring.CommandListener):
    """What was sent, in order, in words: the command, and what it reads or writes."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.replies: list[int] = []

    def listen(self, patch: pytest.MonkeyPatch) -> None:
        """Hear what the clients say that are made from now on."""

        def client(*arguments: Any, **options: Any) -> AsyncMongoClient[dict[str, Any]]:
            return AsyncMongoClient(*arguments, **options, event_listeners=[self])

        patch.setattr(aula_common.mongo, "AsyncMongoClient", client)

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Note it, but for the driver's own."""
        match event.command_name:
            case "bulkWrite":
                names = [one["ns"].partition(".")[2] for one in event.command["nsInfo"]]
                written = Counter(names[one["update"]] for one in event.command["ops"])
                which = ", ".join(f"{count} {name}" for name, count in written.items())
            case "endSessions":
                return
            case name:
                which = str(event.command[name])
        self.commands.append(f"{event.command_name} {which}")

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Not looked at."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Not looked at: what failed was sent."""
