"""The database of monitoring: its collections made ready, and whether it answers."""

from typing import Any

from beanie import init_beanie
from pymongo.asynchronous.database import AsyncDatabase

from aula_common.errors import UnavailableError
from aula_common.mongo import mongo_errors
from aula_monitoring.storage.documents import DOCUMENTS

Collections = AsyncDatabase[dict[str, Any]]


class Database:
    """Holds back who needs the indexes until they are made: without them nothing is unique."""

    def __init__(self, collections: Collections) -> None:
        self.collections = collections
        self._prepared = False

    async def prepare(self) -> None:
        """Bind the documents and make their indexes. UnavailableError if the database is away."""
        with mongo_errors():
            await init_beanie(database=self.collections, document_models=DOCUMENTS)
        self._prepared = True

    def require_prepared(self) -> None:
        """Raise UnavailableError until `prepare` has succeeded."""
        if not self._prepared:
            raise UnavailableError("the database")

    async def require_answer(self) -> None:
        """Raise UnavailableError unless the database is prepared and answers."""
        self.require_prepared()
        with mongo_errors():
            await self.collections.command("ping")
