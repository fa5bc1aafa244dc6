"""The database of auth: its collections made ready, and whether it answers."""

from typing import Any

from beanie import init_beanie
from pymongo.asynchronous.database import AsyncDatabase

from aula_auth.storage.documents import DOCUMENTS
from aula_common.mongo import mongo_errors

Database = AsyncDatabase[dict[str, Any]]


async def prepare(database: Database) -> None:
    """Bind the documents and make their indexes. UnavailableError if the database is away."""
    with mongo_errors():
        await init_beanie(database=database, document_models=DOCUMENTS)


async def require_answer(database: Database) -> None:
    """Raise UnavailableError unless the database answers."""
    with mongo_errors():
        await database.command("ping")
