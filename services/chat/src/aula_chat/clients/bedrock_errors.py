"""Bedrock's, botocore's and aiohttp's errors as the domain's."""

from http import HTTPStatus

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
    TokenRetrievalError,
)

from aula_chat.clients.bedrock_frames import CorruptFrameError
from aula_chat.domain.language_models import (
    ProviderError,
    ProviderInterruptedError,
    ProviderReason,
    ProviderRejectedError,
    ProviderUnavailableError,
)

PROVIDER = "bedrock"

_UNAVAILABLE = {
    "throttlingexception": ProviderReason.THROTTLED,
    "toomanyrequestsexception": ProviderReason.THROTTLED,
    "servicequotaexceededexception": ProviderReason.THROTTLED,
    "serviceunavailableexception": ProviderReason.OVERLOADED,
    "modelnotreadyexception": ProviderReason.OVERLOADED,
    "internalserverexception": ProviderReason.FAILED,
    "modelerrorexception": ProviderReason.FAILED,
    "modelstreamerrorexception": ProviderReason.FAILED,
    "modeltimeoutexception": ProviderReason.TIMED_OUT,
}
_REJECTED = {
    "validationexception": ProviderReason.INVALID_REQUEST,
    "accessdeniedexception": ProviderReason.ACCESS_DENIED,
    "resourcenotfoundexception": ProviderReason.UNKNOWN_MODEL,
}
_REASON_OF_STATUS = {
    HTTPStatus.REQUEST_TIMEOUT: ProviderReason.TIMED_OUT,
    HTTPStatus.TOO_MANY_REQUESTS: ProviderReason.THROTTLED,
}
_ACCESS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_TRANSPORT: tuple[tuple[type[BaseException], ProviderReason], ...] = (
    (CorruptFrameError, ProviderReason.CORRUPT),
    (ConnectTimeoutError, ProviderReason.UNREACHABLE),
    (ReadTimeoutError, ProviderReason.TIMED_OUT),
    (ConnectionClosedError, ProviderReason.CUT),
    (EndpointConnectionError, ProviderReason.UNREACHABLE),
    (ProxyConnectionError, ProviderReason.UNREACHABLE),
    (SSLError, ProviderReason.UNREACHABLE),
    (HTTPClientError, ProviderReason.UNREACHABLE),
    (aiohttp.ServerTimeoutError, ProviderReason.STALLED),
    (aiohttp.ClientError, ProviderReason.CUT),
    (TimeoutError, ProviderReason.STALLED),
    (OSError, ProviderReason.CUT),
)
_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, TokenRetrievalError)

TRANSLATED = (
    ClientError, BotoCoreError, aiohttp.ClientError, CorruptFrameError, TimeoutError, OSError,
)  # fmt: skip
"""What the libraries raise for a request that fails."""


def refused(name: str, *, message: str = "", status: int = 0) -> ProviderError:
    """The error of an exception's name, in UpperCamel (HTTP) or lowerCamel (amid the stream).

    For before the first event; `interrupted` is for after it.
    """
    known = name.lower()
    if known in _UNAVAILABLE:
        return _unavailable(_UNAVAILABLE[known])
    if known in _REJECTED:
        reason = _REJECTED[known]
        if reason is ProviderReason.INVALID_REQUEST:
            reason = _invalid(message)
        return _rejected(reason)
    if status in _REASON_OF_STATUS:
        return _unavailable(_REASON_OF_STATUS[HTTPStatus(status)])
    if status in _ACCESS:
        return _rejected(ProviderReason.ACCESS_DENIED)
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _rejected(ProviderReason.INVALID_REQUEST)
    return _unavailable(ProviderReason.FAILED)


def translate(error: BaseException) -> ProviderError:
    """One of TRANSLATED, raised before the first event."""
    if isinstance(error, ClientError):
        answer = error.response
        return refused(
            answer.get("Error", {}).get("Code", ""),
            message=answer.get("Error", {}).get("Message", ""),
            status=answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0),
        )
    if isinstance(error, _CREDENTIALS):
        return _rejected(ProviderReason.ACCESS_DENIED)
    reason = _transport_reason(error)
    if reason is None:
        return _rejected(ProviderReason.INVALID_REQUEST)
    return _unavailable(ProviderReason.TIMED_OUT if reason is ProviderReason.STALLED else reason)


def interrupted(error: BaseException) -> ProviderInterruptedError:
    """Whatever it was, after the first event."""
    if isinstance(error, ProviderError):
        return _interrupted(error.reason)
    return _interrupted(_transport_reason(error) or ProviderReason.FAILED)


def incomplete(*, shown: bool) -> ProviderError:
    """The body ended without `messageStop`."""
    make = _interrupted if shown else _unavailable
    return make(ProviderReason.INCOMPLETE)


def _transport_reason(error: BaseException) -> ProviderReason | None:
    return next((reason for kind, reason in _TRANSPORT if isinstance(error, kind)), None)


def _invalid(message: str) -> ProviderReason:
    said = message.lower()
    if "too long" in said:
        return ProviderReason.INPUT_TOO_LONG
    if "model identifier" in said:
        return ProviderReason.UNKNOWN_MODEL
    return ProviderReason.INVALID_REQUEST


def _unavailable(reason: ProviderReason) -> ProviderError:
    return ProviderUnavailableError(provider=PROVIDER, reason=reason)


def _rejected(reason: ProviderReason) -> ProviderError:
    return ProviderRejectedError(provider=PROVIDER, reason=reason)


def _interrupted(reason: ProviderReason) -> ProviderInterruptedError:
    return ProviderInterruptedError(provider=PROVIDER, reason=reason)
