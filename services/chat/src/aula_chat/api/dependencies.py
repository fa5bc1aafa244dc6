"""What the endpoints are given: the services of this process.

Coroutines, though none waits: FastAPI runs plain functions in threads, which cost more than these.
"""

import re
from typing import Annotated

from fastapi import Depends, Header, Request

from aula_chat.factory import Process
from aula_common.web.schemas import Identifier


async def process(request: Request) -> Process:
    """The services of this process."""
    context: Process = request.app.state.process
    return context


Services = Annotated[Process, Depends(process)]
IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENCY_KEY_PATTERN = re.compile(r"[!-~]{1,255}")  # says the same as:
IdempotencyKey = Annotated[
    str | None, Header(alias=IDEMPOTENCY_KEY, min_length=1, max_length=255, pattern=r"^[!-~]+$")
]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]
SessionId = Identifier
