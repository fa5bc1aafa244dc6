"""JSON logs without secrets or message bodies."""

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, TextIO

import msgspec
import structlog

from aula_common.requests import request_id
from aula_common.traces import trace_ids

_SECRET_KEYS = re.compile(
    r"passw|passphrase|secret|authorization|cookie|credentials?$|api[-_]?key|private[-_]?key"
    r"|(access|refresh|id|session)[-_]?token|^token$|^(text|content|message_text|prompt|body)$",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<=://)[^/\s:@]*:[^/\s]+(?=@)"  # the credentials in an address
    r"|(?i:(?<=bearer )\S+|(?<=basic )\S+)"
)
# password=…, "clientSecret": "…": in a form, a query, a JSON text
_SECRET_PAIR = re.compile(
    r"""((?:password|secret|token|api[-_]?key)["']?\s?[=:]\s?["']?)[^\s"'&,}]+""", re.IGNORECASE
)
# what any of the two needs: a quick look that most texts pass
_SUSPECT = re.compile(r"eyJ|[:=]|(?i:bearer|basic) ")
_REDACTED = "[redacted]"
_PLAIN = (int, float, type(None))
_OURS = frozenset({"level", "logger", "timestamp", "service"})  # whatever an event said there


def redact(value: Any) -> Any:
    """The value with tokens and credentials replaced, at any depth; fit for JSON."""
    if isinstance(value, str):
        if _SUSPECT.search(value) is None:
            return value
        return _SECRET_PAIR.sub(rf"\1{_REDACTED}", _SECRET_TEXT.sub(_REDACTED, value))
    if isinstance(value, dict):
        return {
            redact(str(key)): _REDACTED if _is_secret(key) else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    if isinstance(value, bytes):
        return redact(value.decode(errors="backslashreplace"))
    return value if isinstance(value, _PLAIN) else redact(str(value))


def _is_secret(key: object) -> bool:
    return _is_secret_name(str(key))


@lru_cache(maxsize=1024)  # a log's keys are few, and the same in each line
def _is_secret_name(name: str) -> bool:
    return _SECRET_KEYS.search(name) is not None


class _Lines:
    """A logger's way out: each event is a line of JSON, written at once.

    Our own events come straight here; those of libraries by way of the standard library's handler,
    which costs twice as much. A line that can't be made or written fails nobody's work.
    """

    def __init__(self, name: str, handler: logging.StreamHandler[TextIO]) -> None:
        self.name = name
        self._handler = handler

    def write(self, **event: Any) -> None:
        """Write the event."""
        try:
            line = _rendered(event) + self._handler.terminator
            with self._handler.lock or nullcontext():
                self._handler.stream.write(line)
                self._handler.stream.flush()
        except Exception:  # noqa: BLE001 - as the standard library's handlers
            self._handler.handleError(logging.makeLogRecord({"msg": "a line was lost"}))

    debug = info = warning = error = critical = write


def _rendered(event: MutableMapping[str, Any]) -> str:
    event = structlog.processors.format_exc_info(None, "", event)
    fit = {
        key: value if key in _OURS else _REDACTED if _is_secret(key) else redact(value)
        for key, value in event.items()
    }
    try:
        return msgspec.json.encode(fit).decode()
    except (UnicodeEncodeError, OverflowError):  # half of a surrogate pair, a huge number
        return json.dumps(fit)


def configure_logging(service: str, level: str = "INFO", *, stream: TextIO | None = None) -> None:
    """Send every log line of this process, the libraries' too, out as one JSON object each.

    To stdout, or to the stream given: a command keeps its stdout for what it was asked for.
    Lines carry `service`, `level`, `timestamp`, `event`, and `requestId` inside a request; inside
    a trace `trace_id` and `span_id`.
    """

    def add_origin(
        _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if (current := request_id.get()) is not None:
            event["requestId"] = current
        if (ids := trace_ids()) is not None:
            event.update(ids)
        event["service"] = service
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_origin,
    ]
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                lambda _logger, _method, event: _rendered(event),
            ],
        )
    )
    named = structlog.stdlib.LoggerFactory(ignore_frame_names=[__name__])
    structlog.configure(
        processors=shared,
        logger_factory=lambda *names: _Lines(named(*names).name, handler),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # our own line says more
    for chatty in ("botocore", "aiobotocore", "pymongo", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of that name; events are short lower-case phrases, data goes into keywords."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger
