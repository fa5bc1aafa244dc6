"""The pytest plugin that gives tests real servers. Loaded by the repository's `conftest.py`.

Servers are taken, each on its own, from `TEST_POSTGRES_URL`, `TEST_MONGO_URI`, `TEST_REDIS_URL`,
`TEST_S3_URL`, `TEST_BEDROCK_URL` when set; else from Docker when an engine answers; else they are
the embedded ones. Each is started when the first test asks for it, once for each run.

Fixtures, all synchronous:

- `postgres_database`: `postgresql+asyncpg://…` of an empty database of this test's own.
- `mongo_database`: `mongodb://…/<name>` with a database name of this test's own, dropped after it.
- `redis_url`: an empty Redis database.
- `s3_url`, `bedrock_url`: the addresses of the S3 and of the local Bedrock endpoint.
- `postgres_url`, `mongo_url`: the servers themselves.
- `postgres_server`, `mongo_server`, `redis_server`: servers of this test's own, to stop and start.
- `make_platform`, `platform`: the whole platform, each service a process.
- `collector`: receives the traces of applications that the test makes in its own process.
"""

from aula_devstack.testing.databases import mongo_database, postgres_database, redis_url
from aula_devstack.testing.own_servers import (
    mongo_server,
    own_home,
    postgres_server,
    redis_server,
)
from aula_devstack.testing.platform import make_platform, platform
from aula_devstack.testing.servers import (
    bedrock_url,
    mongo_url,
    postgres_url,
    redis_server_url,
    s3_url,
    test_servers,
)
from aula_devstack.testing.trace_collector import collector

__all__ = [
    "bedrock_url",
    "collector",
    "make_platform",
    "mongo_database",
    "mongo_server",
    "mongo_url",
    "own_home",
    "platform",
    "postgres_database",
    "postgres_server",
    "postgres_url",
    "redis_server",
    "redis_server_url",
    "redis_url",
    "s3_url",
    "test_servers",
]
