"""All endpoints of the chat service."""

from aula_chat.api import models, sessions, streams, subjects, supervision

routers = (subjects.router, supervision.router, streams.router, sessions.router, models.router)
thin_routes = streams.thin_routes
