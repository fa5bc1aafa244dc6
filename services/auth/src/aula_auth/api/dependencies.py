"""What endpoints are given: the process context, the caller's device.

Coroutines, though none waits: FastAPI runs plain functions in threads, which cost more than these.
"""

from typing import Annotated

from fastapi import Depends, Request, Response

from aula_auth.domain.family import Device
from aula_auth.factory import Context

_MAX_USER_AGENT = 256


async def get_context(request: Request) -> Context:
    """The services of this process."""
    context: Context = request.app.state.context
    return context


async def get_device(request: Request) -> Device:
    """Where the request comes from; the address is the client's as the gateway saw it."""
    user_agent = request.headers.get("User-Agent", "")
    printable = "".join(c for c in user_agent[:_MAX_USER_AGENT] if c.isprintable())
    address = request.client.host if request.client else None
    return Device(user_agent=printable or None, address=address)


async def forbid_caching(response: Response) -> None:
    """Keep an answer that holds tokens out of every cache."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"


Services = Annotated[Context, Depends(get_context)]
CallerDevice = Annotated[Device, Depends(get_device)]
NoStore = Depends(forbid_caching)
