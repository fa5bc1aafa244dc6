"""Prints a service's OpenAPI document: `python -m aula_common.web.openapi aula_auth`."""

import importlib
import json
import os
import sys

# What a service's settings require; nothing is connected to when the document is made.
_ENVIRONMENT = {
    "AULA_ENV": "development",
    "PORT": "0",
    "MONGO_URI": "mongodb://localhost",
    "DATABASE_URL": "postgresql+asyncpg://localhost/none",
    "REDIS_URL": "redis://localhost",
    "SIGNING_KEYS_SECRET": "not-a-secret-" * 3,
    "JWT_REFRESH_SECRET": "not-a-secret-" * 3,
}


def render(package: str) -> str:
    """The OpenAPI document of the service in that package, as it is committed."""
    missing = {key: value for key, value in _ENVIRONMENT.items() if key not in os.environ}
    os.environ.update(missing)
    try:
        app = importlib.import_module(f"{package}.main").create_app()
    finally:
        for key in missing:  # a test that renders must not decide the settings of the next one
            del os.environ[key]
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render(sys.argv[1]))
