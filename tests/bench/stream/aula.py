"""The real chat service with all that stands behind it, people with credits, conversations."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pymongo
from bench.stream import environments
from bench.stream.contenders import QUESTION, Contender, Endpoint, post

from aula_chat.domain.messages import Message, MessageRole, MessageStatus
from aula_chat.domain.models import DEFAULT_MODEL
from aula_chat.domain.sessions import Session
from aula_chat.storage import messages, sessions
from aula_common.ids import new_id
from aula_common.security.principal import Role
from aula_common.testing import TokenMint
from aula_devstack.home import Home
from aula_devstack.parts import ACCOUNTING_DATABASE, Parts, choose_ports, make_parts
from aula_devstack.postgres_databases import ensure_database
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.process import Process, stop_all, wait_all_ready

_USERS = 500
_CREDITS = 10**9
_SECRET = secrets.token_urlsafe(32)
_FAR_FUTURE = 4_102_444_800  # 2100: longer than any run
_MINT = TokenMint(shared_secret=_SECRET)
_MESSAGE_TEXT = "Light of short waves is scattered by the molecules of the air more than red. " * 2
_BATCH = 5_000  # documents in one write


@dataclass(frozen=True)
class Conversation:
    """A session and whose it is."""

    session_id: str
    user_id: str


class Aula:
    """Chat in one process, accounting, auth and their databases; no gateway and no monitoring.

    People are known by tokens that share a secret with the services, so nobody has to sign in.
    """

    def __init__(self, endpoint: Endpoint, *, ports: Ports, home: Path) -> None:
        self._home = Home(home)
        self._ports = ports
        self._parts: Parts = make_parts(
            self._home,
            ports=choose_ports(ports, gateway_port=None, fixed=False),
            services=("auth", "accounting", "chat"),
            environment={"JWT_ACCESS_SECRET": _SECRET},
            service_overrides={
                "chat": {
                    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": endpoint.url,
                    "MAX_STREAMS_PER_PROCESS": "1000",
                    # the endpoint holds its answers until all are open
                    "PROVIDER_FIRST_TEXT_SECONDS": "120",
                    "PROVIDER_IDLE_SECONDS": "120",
                    "MAX_STREAMING_DURATION": "600",  # the first waits for the last to be open
                }
            },
            pace_ms=0,
            report=lambda _: None,
        )
        self._users = [f"usr_{number}" for number in range(_USERS)]
        self._tokens = {
            user: _MINT.user(user, tier="enterprise", exp=_FAR_FUTURE) for user in self._users
        }

    @property
    def chat(self) -> Process:
        """The first chat process, and mostly the only one."""
        return self._parts.services["chat"]

    @contextmanager
    def second_chat(self) -> Iterator[Process]:
        """Another chat process on the same databases, inside the block."""
        name = "chat-2"
        replica = self._parts.services["chat"].another(
            name=name, port=self._ports.any(name), log_file=self._home.log(name)
        )
        try:
            replica.start()
            yield replica
        finally:
            replica.stop()

    def start(self) -> None:
        """Bring all up and give everybody credits."""
        parts = self._parts
        parts.services["chat"].python = environments.install_chat()
        for server in parts.databases:
            server.spawn()
        wait_all_ready(parts.databases)
        ensure_database(parts.postgres.url, ACCOUNTING_DATABASE)
        parts.services["accounting"].run_command("migrate")
        for service in parts.services.values():
            service.spawn()
        wait_all_ready(parts.services.values())
        self._give_credits()

    def stop(self) -> None:
        """Stop all."""
        for service in reversed(self._parts.services.values()):
            service.stop()
        stop_all(self._parts.databases)

    def reconcile(self) -> str:
        """What accounting says about its ledger; CommandFailedError if it doesn't balance."""
        return self._parts.services["accounting"].run_command("reconcile", timeout=600)

    def contender(self) -> Contender:
        """Chat as it is compared with the others."""
        parts = self._parts
        return Contender(
            name="chat",
            process=self.chat,
            make_requests=lambda count: self.requests(self.conversations(count)),
            end="event: complete",
            behind={
                "MongoDB": [parts.mongo],
                "Redis": [parts.redis],
                "accounting, PostgreSQL": [parts.services["accounting"], parts.postgres],
            },
        )

    def conversations(self, count: int, *, length: int = 0) -> list[Conversation]:
        """So many new ones, each another person's while there are any, of so many messages."""
        made = [
            Conversation(new_id("ses"), self._users[number % _USERS]) for number in range(count)
        ]
        with pymongo.MongoClient[dict[str, Any]](self._parts.mongo.url) as client:
            store = client["aula_chat"]
            store["sessions"].insert_many(map(_session_document, made))
            for one in made:
                for first in range(1, length + 1, _BATCH):
                    numbers = range(first, min(first + _BATCH, length + 1))
                    store["messages"].insert_many(_message_document(one, n) for n in numbers)
        return made

    def requests(self, conversations: Sequence[Conversation]) -> list[str]:
        """A question in each."""
        return [
            post(
                f"/api/chat/sessions/{one.session_id}/stream",
                {"message": QUESTION},
                f"Authorization: Bearer {self._tokens[one.user_id]}",
            )
            for one in conversations
        ]

    def observers(self, conversation: Conversation, count: int) -> tuple[list[str], str]:
        """So many observers' requests as monitoring makes them, and the one that renews all."""
        names = [new_id("obs") for _ in range(count)]
        token = _MINT.service(
            "monitoring",
            audience="chat",
            scopes=["conversations:read", "observations:write"],
            exp=_FAR_FUTURE,
        )
        authorization = f"Authorization: Bearer {token}"
        path = f"/api/chat/sessions/{conversation.session_id}/observe"
        head = f"HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{authorization}\r\n\r\n"
        asked = [f"GET {path}?observationId={name} {head}" for name in names]
        renewal = {"observationIds": names}
        return asked, post("/internal/observations/renew", renewal, authorization)

    def _give_credits(self) -> None:
        token = _MINT.user("usr_admin", role=Role.ADMIN)
        answer = httpx.post(
            f"{self._parts.services['accounting'].url}/api/accounting/credits/allocate",
            headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "bench"},
            json={"userIds": self._users, "credits": _CREDITS},
            timeout=60,
        )
        answer.raise_for_status()


def _session_document(conversation: Conversation) -> dict[str, Any]:
    now = datetime.now(UTC)
    return sessions._to_document(
        Session(
            id=conversation.session_id,
            user_id=conversation.user_id,
            title="Bench",
            model_id=DEFAULT_MODEL,
            created_at=now,
            updated_at=now,
        )
    )


def _message_document(conversation: Conversation, position: int) -> dict[str, Any]:
    message = Message(
        id=new_id("msg"),
        session_id=conversation.session_id,
        user_id=conversation.user_id,
        position=position,
        role=MessageRole.USER if position % 2 else MessageRole.ASSISTANT,
        content=_MESSAGE_TEXT,
        status=MessageStatus.COMPLETE,
        created_at=datetime.now(UTC),
    )
    return {"_id": message.id, "fence": 1, **messages._to_document(message)}
