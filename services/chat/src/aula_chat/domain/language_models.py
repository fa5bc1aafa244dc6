"""The port to language models: a prompt goes in, events of its answer come out."""

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal, Protocol, TypeAlias

from aula_common.errors import AulaError

TURNS_JOINED_BY = "\n\n"


class FinishReason(StrEnum):
    """Why an answer ended, by its model's own account."""

    STOP = "stop"
    LENGTH = "length"
    FILTERED = "content_filtered"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(slots=True)
class Prompt:
    """What a model is asked. `model_id` is the provider's own; `turns` are as `merge_turns` gives.

    `max_output_tokens` is the output allowance, and a model never writes more. Once a model has
    begun to answer, the caller may let go of the turns.
    """

    model_id: str
    turns: tuple[Turn, ...]
    max_output_tokens: int
    system: str | None = None

    def forget(self) -> None:
        """Let go of the turns."""
        self.turns = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer; never empty, and always encodable as UTF-8."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The text is complete; only usage may follow."""

    reason: FinishReason


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """What the provider counted. Not negative, but otherwise unchecked: the caller clamps it."""

    input_tokens: int
    output_tokens: int


ModelEvent: TypeAlias = TextDelta | Finish | TokenUsage


class LanguageModel(Protocol):
    """A provider of models."""

    def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """The answer as it is made: deltas, then one Finish, then usage.

        Usage may be missing; should it come twice, the last counts. The generator must be
        exhausted or closed (`contextlib.aclosing`): closing or cancelling it closes the
        connection to the provider. How long an answer may take in all is the caller's to bound.

        Raises ProviderUnavailableError and ProviderRejectedError before the first event only,
        ProviderInterruptedError after it only.
        """
        ...


class ProviderReason(StrEnum):
    """What went wrong, for logs, metrics and the choice of a fallback."""

    THROTTLED = "throttled"
    OVERLOADED = "overloaded"
    FAILED = "failed"  # an error of the provider's own
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    CIRCUIT_OPEN = "circuit_open"
    INVALID_REQUEST = "invalid_request"
    INPUT_TOO_LONG = "input_too_long"
    ACCESS_DENIED = "access_denied"
    UNKNOWN_MODEL = "unknown_model"
    CUT = "cut"
    STALLED = "stalled"
    CORRUPT = "corrupt"
    INCOMPLETE = "incomplete"
    ENDLESS = "endless"


class ProviderError(AulaError):
    """A provider gave no whole answer. What it said itself is in `__cause__` and in the log."""

    code: ClassVar[str] = "provider_error"
    status: ClassVar[int] = 503
    title: ClassVar[str] = "The language model gave no answer"

    def __init__(self, *, provider: str, reason: ProviderReason) -> None:
        self.provider = provider
        self.reason = reason
        super().__init__(f"{self.title} ({reason.value}).")


class ProviderUnavailableError(ProviderError):
    """Throttled, overloaded, out of order, out of reach, or silent past the deadline.

    Nothing was shown: another attempt or another model may help.
    """

    code = "provider_unavailable"
    title = "The language model is not available at the moment"


class ProviderRejectedError(ProviderError):
    """The request itself was refused; another attempt would be too."""

    code = "provider_rejected"
    title = "The language model refused the request"


class ProviderInterruptedError(ProviderError):
    """The answer broke off after its first event."""

    code = "provider_interrupted"
    title = "The language model's answer broke off"


def merge_turns(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns as providers accept them: none blank, roles alternating, the user's first.

    Consecutive turns of one role (an answer that never came, say) are joined by an empty line;
    turns of the assistant before the user's first are dropped.
    """
    merged: list[Turn] = []
    for turn in turns:
        if not turn.text.strip() or (not merged and turn.role != "user"):
            continue
        if merged and merged[-1].role == turn.role:
            merged[-1] = Turn(role=turn.role, text=merged[-1].text + TURNS_JOINED_BY + turn.text)
        else:
            merged.append(turn)
    return tuple(merged)
