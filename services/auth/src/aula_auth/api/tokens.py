"""The OAuth 2.0 token endpoint."""

import base64
import binascii
from typing import Annotated
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from aula_auth.api.dependencies import CallerDevice, Services
from aula_auth.api.schemas.token import TOKEN_FORM, TokenBody, TokenErrorBody
from aula_auth.domain.errors import InvalidClientError, InvalidRequestError, OAuthError
from aula_common.errors import AulaError, RateLimitedError, UnavailableError

router = APIRouter(prefix="/api/auth", tags=["sessions"])

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 50
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


async def read_body(request: Request) -> bytes:
    """The raw body; its size is limited for all endpoints alike."""
    return await request.body()


@router.post(
    "/token",
    response_model=TokenBody,
    responses={400: {"model": TokenErrorBody}, 401: {"model": TokenErrorBody}},
    openapi_extra=TOKEN_FORM,
)
async def grant_token(
    request: Request,
    body: Annotated[bytes, Depends(read_body)],
    services: Services,
    device: CallerDevice,
) -> JSONResponse:
    """Tokens by password, by refresh token, or for a service by its client credentials."""
    try:
        granted = await services.oauth.grant(
            _form(request, body), device=device, basic=_basic(request)
        )
    except AulaError as error:
        return _refusal(error)
    answer = TokenBody(
        access_token=granted.access_token.text,
        expires_in=granted.access_token.expires_in,
        refresh_token=granted.refresh_token,
        scope=granted.scope,
    )
    return JSONResponse(answer.model_dump(exclude_none=True), headers=_NO_STORE)


def _form(request: Request, body: bytes) -> dict[str, str]:
    """The parameters. InvalidRequestError if not a form, or if one is repeated or unclean."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != _FORM:
        raise InvalidRequestError(f"Send {_FORM}.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:
        raise InvalidRequestError("The form can't be read.") from error
    form = dict(pairs)
    if len(form) < len(pairs):
        raise InvalidRequestError("A parameter is repeated.")
    if any("\0" in text for pair in pairs for text in pair):
        raise InvalidRequestError("A parameter contains NUL.")
    return form


def _basic(request: Request) -> tuple[str, str] | None:
    """The client's id and secret by HTTP Basic, each form-encoded within (RFC 6749, 2.3.1)."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise InvalidClientError from error
    if not colon:
        raise InvalidClientError
    return unquote_plus(client_id), unquote_plus(secret)


def _refusal(error: AulaError) -> JSONResponse:
    match error:
        case OAuthError():
            code = error.oauth_code
        case RateLimitedError():
            code = "slow_down"
        case UnavailableError():
            code = "temporarily_unavailable"
        case _:
            code = "server_error"
    body = TokenErrorBody(error=code, error_description=error.detail)
    return JSONResponse(
        body.model_dump(), status_code=error.status, headers={**error.headers, **_NO_STORE}
    )
