"""Directives: what a caller writes in double square brackets to make a model misbehave.

The README beside this file is their reference.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass, replace

from aula_devstack.bedrock.errors import STATUS, BedrockError
from aula_devstack.bedrock.models import base_id

REFUSALS = {
    "throttled": "ThrottlingException",
    "overloaded": "ServiceUnavailableException",
    "unavailable": "ServiceUnavailableException",
    "internal": "InternalServerException",
    "not-ready": "ModelNotReadyException",
    "timeout": "ModelTimeoutException",
    "model-error": "ModelErrorException",
    "denied": "AccessDeniedException",
    "not-found": "ResourceNotFoundException",
    "invalid": "ValidationException",
    "expired": "ExpiredTokenException",
}
STREAM_FAULTS = frozenset({"stall", "cut", "error", "bad-crc", "bad-prelude", "end"})
CONNECTION_FAULTS = frozenset({"drop", "hang"})
USAGES = frozenset({"no-usage", "usage-twice", "usage-absurd", "zero-usage"})
EXCEPTIONS = frozenset(
    {
        "internalServerException",
        "modelStreamErrorException",
        "modelTimeoutException",
        "serviceUnavailableException",
        "throttlingException",
        "validationException",
    }
)

_BRACKET = re.compile(r"\[\[([^\[\]]{1,400})\]\] ?")
_WORDS = REFUSALS.keys() | STREAM_FAULTS | CONNECTION_FAULTS | USAGES | {"echo", "clear"}
_NUMBERS = frozenset({"pace", "tokens", "batch", "slow-start", "times"})
_TEXTS = frozenset({"fault", "exception", "model", "nonce", "stop-reason", "usage"})
_COUNTS = re.compile(r"(-?[0-9]{1,20}):(-?[0-9]{1,20})")
_MOST = 1_000_000
_STREAM_EXCEPTION = "modelStreamErrorException"
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` is a key of REFUSALS, an error's own name, or one of the sets above.

    It strikes after `at` tokens, or, `after_stop`, between `messageStop` and the usage.
    """

    kind: str
    at: int = 0
    after_stop: bool = False
    exception: str = _STREAM_EXCEPTION

    def refusal(self) -> BedrockError | None:
        """The error that is answered instead of a stream; None for the other kinds."""
        name = REFUSALS.get(self.kind, self.kind)
        if name not in STATUS:
            return None
        if self.kind == "overloaded":
            return BedrockError(name, "Too many connections, please wait before trying again.")
        return BedrockError.of(name)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one request asked for. Times are milliseconds; `batch` is tokens for each delta.

    `usage` is `true`, one of USAGES, or `counts`: those of `counts`, in and out.
    """

    pace: float
    tokens: int | None = None
    batch: int = 1
    slow_start: float = 0
    echo: bool = False
    fault: Fault | None = None
    usage: str = "true"
    counts: tuple[int, int] = (0, 0)
    stop_reason: str | None = None
    nonce: str | None = None


class Attempts:
    """Counts how often a directive with `times=` has struck, for the latest 10,000 of them."""

    def __init__(self) -> None:
        self._struck: OrderedDict[str, int] = OrderedDict()

    def take(self, key: str, times: int) -> bool:
        """Whether `key` may strike once more; if so, it is counted."""
        struck = self._struck.pop(key, 0)
        strikes = struck < times
        self._struck[key] = struck + strikes
        if len(self._struck) > _REMEMBERED:
            self._struck.popitem(last=False)
        return strikes


def read_directives(
    text: str, *, model_id: str, pace: float, attempts: Attempts
) -> tuple[Behaviour, str]:
    """The behaviour that `text` asks of `model_id`, and the text without its directives.

    Brackets that begin with no known word are ordinary text. Raises ValidationException for a
    directive that begins well and goes wrong, so that a test's slip does not pass unseen.
    """
    behaviour = Behaviour(pace=pace)
    rest: list[str] = []
    end = 0
    for bracket in _BRACKET.finditer(text):
        items = _items(bracket[1])
        if items is None:
            continue
        rest.append(text[end : bracket.start()])
        end = bracket.end()
        if "clear" in items:
            behaviour = Behaviour(pace=pace)
        else:
            behaviour = _apply(items, behaviour, raw=bracket[1], model_id=model_id, tried=attempts)
    rest.append(text[end:])
    return behaviour, "".join(rest)


def without_directives(text: str) -> str:
    """`text` as the models read it when it stands earlier in the conversation."""
    return _BRACKET.sub(lambda bracket: "" if _begins_known(bracket[1]) else bracket[0], text)


def _begins_known(inside: str) -> bool:
    return _is_known(inside.split(maxsplit=1)[0]) if inside.strip() else False


def _items(inside: str) -> dict[str, str] | None:
    if not _begins_known(inside):
        return None
    items: dict[str, str] = {}
    for part in inside.split():
        if not _is_known(part):
            raise BedrockError.validation(f"local endpoint: unknown directive {part!r}")
        key, _, value = part.partition("=")
        if not value and key not in {"echo", "clear"}:
            key, value = "fault", key
        items[key] = value
    return items


def _is_known(part: str) -> bool:
    key, equals, value = part.partition("=")
    if equals:
        return key in _NUMBERS | _TEXTS and bool(value)
    return part.partition("@")[0] in _WORDS


def _apply(
    items: dict[str, str], before: Behaviour, *, raw: str, model_id: str, tried: Attempts
) -> Behaviour:
    numbers = {key: _number(key, items[key]) for key in _NUMBERS & items.keys()}
    usage, fault = _fault(items)
    counts = _counts(items["usage"]) if "usage" in items else None
    only = items.get("model", "")
    if not (model_id.startswith(only) or base_id(model_id).startswith(only)):
        return before
    if fault is not None and before.fault is not None:
        return before  # one fault at a time; this one's turn may come at the next attempt
    if "times" in numbers and not tried.take(raw, numbers["times"]):
        return before
    return replace(
        before,
        pace=numbers.get("pace", before.pace),
        tokens=numbers.get("tokens", before.tokens),
        batch=max(1, numbers.get("batch", before.batch)),
        slow_start=numbers.get("slow-start", before.slow_start),
        echo=before.echo or "echo" in items,
        fault=fault or before.fault,
        usage="counts" if counts else usage or before.usage,
        counts=counts or before.counts,
        stop_reason=items.get("stop-reason", before.stop_reason),
        nonce=items.get("nonce", before.nonce),
    )


def _fault(items: dict[str, str]) -> tuple[str | None, Fault | None]:
    exception = items.get("exception", _STREAM_EXCEPTION)
    if exception not in EXCEPTIONS:
        raise BedrockError.validation(f"local endpoint: unknown exception {exception!r}")
    named = items.get("fault")
    if named is None:
        return None, None
    if named in USAGES:
        return named, None
    kind, at_sign, at = named.partition("@")
    takes_position = kind in STREAM_FAULTS
    known = takes_position or kind in REFUSALS or kind in CONNECTION_FAULTS or kind in STATUS
    if not known or (at_sign and not takes_position):
        raise BedrockError.validation(f"local endpoint: unknown fault {named!r}")
    if at == "stop":
        return None, Fault(kind=kind, after_stop=True, exception=exception)
    return None, Fault(kind=kind, at=_number(kind, at) if at_sign else 0, exception=exception)


def _counts(value: str) -> tuple[int, int]:
    match = _COUNTS.fullmatch(value)
    if match is None:
        raise BedrockError.validation(f"local endpoint: usage={value!r} is not two counts")
    return int(match[1]), int(match[2])


def _number(key: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) > _MOST:
        raise BedrockError.validation(f"local endpoint: {key}={value!r} is not 0 to {_MOST}")
    return int(value)
