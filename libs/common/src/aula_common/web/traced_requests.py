"""The span of a request, from its head until the last byte of its answer."""

from opentelemetry.util.types import AttributeValue
from starlette.types import Scope

from aula_common.traces import SpanKind, begin, current, fail, received

_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY"}
)
_SERVER_ERROR = 500


class RequestSpan:
    """A span that is current while the request is served; of a caller's trace, if it is in one.

    Named by the route and not by the path, in which anything may stand.
    """

    def __init__(self, scope: Scope, *, request_id: str) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        self._name = "HTTP" if method == "_OTHER" else method
        self._span = begin(
            self._name,
            {
                "http.request.method": method,
                "url.scheme": scope.get("scheme", "http"),
                "network.protocol.version": scope.get("http_version", "1.1"),
                "aula.request_id": request_id,
            },
            kind=SpanKind.SERVER,
            parent=received(scope["headers"]),
        )
        self._current = current(self._span)
        self._current.__enter__()

    def end(self, *, route: str | None, status: int, error: str | None) -> None:
        """End it; `status` is 0 if no answer began, `error` the type of one that broke it off."""
        attributes: dict[str, AttributeValue] = {}
        if route is not None:
            self._span.update_name(f"{self._name} {route}")
            attributes["http.route"] = route
        if status:
            attributes["http.response.status_code"] = status
        self._span.set_attributes(attributes)
        if error is not None or status >= _SERVER_ERROR:
            fail(self._span, error or str(status))
        self._current.__exit__(None, None, None)
        self._span.end()
