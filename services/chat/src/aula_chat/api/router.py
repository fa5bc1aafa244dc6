"""All endpoints of the chat service."""

from aula_chat.api import models, sessions, streams, supervision

routers = (supervision.router, streams.router, sessions.router, models.router)
