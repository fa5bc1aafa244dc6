"""All routes of monitoring."""

from aula_monitoring.api import audit, observations, relationships, students, users

ROUTERS = (
    relationships.router,
    students.router,
    observations.router,
    users.router,
    audit.router,
)
