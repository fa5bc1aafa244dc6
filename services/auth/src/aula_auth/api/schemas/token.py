"""The token endpoint on the wire: OAuth's names, not ours (RFC 6749, 5.1)."""

from typing import Any, Literal

from pydantic import BaseModel


class TokenBody(BaseModel):
    """A successful answer."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int
    refresh_token: str | None = None
    scope: str | None = None


class TokenErrorBody(BaseModel):
    """A refusal."""

    error: str
    error_description: str


TOKEN_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {
                            "type": "string",
                            "enum": ["password", "refresh_token", "client_credentials"],
                        },
                        "username": {"type": "string"},
                        "password": {"type": "string", "format": "password"},
                        "refresh_token": {"type": "string"},
                        "client_id": {"type": "string"},
                        "client_secret": {"type": "string", "format": "password"},
                        "audience": {"type": "string"},
                        "scope": {"type": "string"},
                    },
                }
            }
        },
    }
}
