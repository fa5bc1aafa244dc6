"""The endpoint as a bare ASGI application."""

import re
from urllib.parse import parse_qs, unquote

from aula_devstack.bedrock.connection import Connection, Receive, Scope, Send
from aula_devstack.bedrock.directives import CONNECTION_FAULTS, Attempts
from aula_devstack.bedrock.errors import BedrockError
from aula_devstack.bedrock.generation import Generation, generate
from aula_devstack.bedrock.journal import Entry, Journal
from aula_devstack.bedrock.requests import read_request
from aula_devstack.bedrock.signature import check_signature
from aula_devstack.bedrock.streaming import stream
from aula_devstack.bedrock.whole import answer_whole

_OPERATION = re.compile(rb"^/model/(?P<model>.+)/(?P<operation>converse|converse-stream)$")


class BedrockEndpoint:
    """`POST /model/{id}/converse` and `/converse-stream`; `GET /livez`; `GET /requests`.

    `pace` is milliseconds for each token, unless a request asks for another.
    """

    def __init__(self, *, pace: float) -> None:
        self._pace = pace
        self._attempts = Attempts()
        self._journal = Journal()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        connection = Connection(scope, receive, send)
        try:
            await self._route(scope, connection)
        except BedrockError as error:
            await connection.answer(error.status, error.body, error=error.name)
        finally:
            connection.close()

    async def _route(self, scope: Scope, connection: Connection) -> None:
        method, path = scope["method"], scope["raw_path"]
        operation = _OPERATION.match(path)
        if method == "POST" and operation:
            entry = self._journal.open(
                operation["operation"].decode(), unquote(operation["model"].decode("latin-1"))
            )
            try:
                await self._converse(scope, connection, entry)
            except BedrockError as error:
                entry.outcome = error.name
                raise
        elif method == "GET" and path == b"/livez":
            await connection.answer(200, {"status": "ok"})
        elif method == "GET" and path == b"/requests":
            nonce = parse_qs(scope["query_string"].decode("latin-1")).get("nonce", [None])[0]
            await connection.answer(200, {"requests": self._journal.shown(nonce)})
        else:
            raise BedrockError("UnknownOperationException")

    async def _converse(self, scope: Scope, connection: Connection, entry: Entry) -> None:
        body = await connection.read_body()
        check_signature(dict(scope["headers"]))
        request = read_request(entry.model_id, body)
        generation = generate(request, pace=self._pace, attempts=self._attempts)
        entry.nonce = generation.behaviour.nonce
        if await _refuse(generation, connection=connection, entry=entry):
            return
        if entry.operation == "converse":
            await answer_whole(generation, connection=connection, entry=entry)
        else:
            await stream(generation, connection=connection, entry=entry)


async def _refuse(generation: Generation, *, connection: Connection, entry: Entry) -> bool:
    """Does what a fault before any answer asks for; False if there is none."""
    fault = generation.behaviour.fault
    if fault is None:
        return False
    refusal = fault.refusal()
    if refusal is not None:
        raise refusal
    if fault.kind not in CONNECTION_FAULTS:
        return False
    entry.outcome = fault.kind
    if fault.kind == "drop":
        await connection.cut()
        return True
    await connection.wait_until_left()
    entry.left = True
    return True
