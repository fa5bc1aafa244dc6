"""All routes of auth."""

from aula_auth.api import audit, me, registration, revocations, sessions, tokens, users, wellknown

ROUTERS = (
    registration.router,
    sessions.router,
    tokens.router,
    me.router,
    users.router,
    audit.router,
    revocations.router,
    wellknown.router,
)
