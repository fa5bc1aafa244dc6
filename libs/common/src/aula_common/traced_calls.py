"""A span for each call to another service, and the header that carries its trace there."""

from types import SimpleNamespace

import aiohttp

from aula_common.traces import SpanKind, begin, fail, inside, send_along

_FAILED = 400


def call_spans() -> aiohttp.TraceConfig:
    """What has an HTTP client make them: one for each attempt, until its answer begins.

    A call outside of any trace (a poll in the background) begins none.
    """
    config = aiohttp.TraceConfig()
    config.on_request_start.append(_begin)
    config.on_request_end.append(_answered)
    config.on_request_exception.append(_failed)
    return config


async def _begin(
    _session: aiohttp.ClientSession, call: SimpleNamespace, params: aiohttp.TraceRequestStartParams
) -> None:
    call.span = None
    if inside() is None:
        return
    url = params.url
    call.span = begin(
        params.method,
        {
            "http.request.method": params.method,
            "server.address": url.host or "",
            "server.port": url.port or 0,
            "url.full": str(url.with_user(None).with_query(None).with_fragment(None)),
        },
        kind=SpanKind.CLIENT,
    )
    send_along(params.headers, call.span)


async def _answered(
    _session: aiohttp.ClientSession, call: SimpleNamespace, params: aiohttp.TraceRequestEndParams
) -> None:
    if call.span is not None:
        status = params.response.status
        call.span.set_attribute("http.response.status_code", status)
        if status >= _FAILED:
            fail(call.span, str(status))
        call.span.end()


async def _failed(
    _session: aiohttp.ClientSession,
    call: SimpleNamespace,
    params: aiohttp.TraceRequestExceptionParams,
) -> None:
    if call.span is not None:
        fail(call.span, type(params.exception).__name__)
        call.span.end()
