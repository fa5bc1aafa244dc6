"""The variables that each service is started with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from aula_devstack.secrets_file import SecretsFile

SERVICES = ("auth", "accounting", "chat", "monitoring")
DRAIN_SECONDS = 10

# what each service may do at the others
GRANTS: dict[str, dict[str, list[str]]] = {
    "accounting": {"auth": ["users:read", "revocations:read"]},
    "chat": {
        "auth": ["users:read", "revocations:read"],
        "accounting": ["streaming:write", "rates:read", "credits:read"],
    },
    "monitoring": {
        "auth": ["users:read", "revocations:read"],
        "accounting": ["streaming:read", "credits:read"],
        "chat": ["conversations:read", "observations:write"],
    },
}


@dataclass(frozen=True)
class Addresses:
    """Where everything answers."""

    gateway: str
    services: Mapping[str, str]
    database: str
    """Of accounting, as `postgresql+asyncpg://…`."""
    mongo: str
    redis: str
    s3: str
    bedrock: str

    def service_variables(self) -> dict[str, str]:
        """`AUTH_API_URL` and so on."""
        return {f"{name.upper()}_API_URL": url for name, url in self.services.items()}


def service_environment(
    service: str, *, addresses: Addresses, secrets: SecretsFile
) -> dict[str, str]:
    """The variables of one service, its address and port not included."""
    common = {
        "AULA_ENV": "development",
        "CORS_ORIGIN": addresses.gateway,
        "DRAIN_DEADLINE": str(DRAIN_SECONDS),
        "SERVICE_CLIENT_ID": service,
        "SERVICE_CLIENT_SECRET": secrets.secret(f"service_client.{service}"),
        **addresses.service_variables(),
    }
    own: dict[str, dict[str, str]] = {
        "auth": {
            "MONGO_URI": addresses.mongo,
            "REDIS_URL": addresses.redis,
            "JWT_REFRESH_SECRET": secrets.secret("jwt_refresh"),
            "SIGNING_KEYS_SECRET": secrets.secret("signing_keys"),
            "SERVICE_CLIENTS": _service_clients(secrets),
            "REGISTRATION_OPEN": "true",
        },
        "accounting": {"DATABASE_URL": addresses.database, "REDIS_URL": addresses.redis},
        "chat": {
            "MONGO_URI": addresses.mongo,
            "REDIS_URL": addresses.redis,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": secrets.secret("aws"),
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": addresses.bedrock,
            "AWS_ENDPOINT_URL_S3": addresses.s3,
            "S3_BUCKET_NAME": "aula",
            "ENABLE_STREAMING": "true",
        },
        "monitoring": {"MONGO_URI": addresses.mongo, "REDIS_URL": addresses.redis},
    }
    return {**common, **own[service]}


def _service_clients(secrets: SecretsFile) -> str:
    clients = {
        name: {"secret": secrets.secret(f"service_client.{name}"), "scopes": GRANTS.get(name, {})}
        for name in SERVICES
    }
    return json.dumps(clients, sort_keys=True)
