"""Accounting with one promise broken on purpose, in the functions of the run's own PostgreSQL."""

import asyncio
import os

import asyncpg
from broken_chat import VARIABLE

from aula_devstack.parts import ACCOUNTING_DATABASE
from aula_devstack.platform import Platform

# the function, the words in it that keep the promise, and what stands there instead
BREACHES = {
    # an abort that comes before its reserve leaves nothing behind
    "tombstone_forgotten": (
        "settle_credits",
        """IF requests @> '[{"kind": "abort"}]' THEN""",
        "IF false THEN",
    ),
}


def break_promise(platform: Platform) -> None:
    """Break the promise that this run asks for, if it is one of accounting's."""
    if (breach := os.environ.get(VARIABLE)) in BREACHES:
        url = platform.postgres.database_url(ACCOUNTING_DATABASE)
        asyncio.run(_change(url, *BREACHES[breach]))


async def _change(url: str, function: str, kept: str, broken: str) -> None:
    connection = await asyncpg.connect(url, timeout=20)
    try:
        find = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = $1"
        definition = await connection.fetchval(find, function)
        assert kept in definition
        await connection.execute(definition.replace(kept, broken))
    finally:
        await connection.close()
