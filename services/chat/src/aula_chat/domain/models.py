"""The models on offer: limits, who may use them, and what answers in their place."""

from dataclasses import dataclass
from decimal import Decimal

from aula_chat.domain.errors import ModelUnknownError

CLAUDE_3_SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"
CLAUDE_3_HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
CLAUDE_3_OPUS = "anthropic.claude-3-opus-20240229-v1:0"
CLAUDE_INSTANT = "anthropic.claude-instant-v1"
TITAN_EXPRESS = "amazon.titan-text-express-v1"
LLAMA_2_13B = "meta.llama2-13b-chat-v1"

DEFAULT_MODEL = CLAUDE_3_SONNET
DEFAULT_OUTPUT_TOKENS = 2000

_PRO = frozenset({"pro", "enterprise"})
_ALL = _PRO | {"basic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model of the catalogue; limits are in tokens."""

    id: str
    name: str
    provider: str
    context_window: int
    max_output_tokens: int
    tiers: frozenset[str]
    description: str
    fallbacks: tuple[str, ...] = ()

    @property
    def answer_allowance(self) -> int:
        """How long an answer may be; never more than half of the window."""
        return min(DEFAULT_OUTPUT_TOKENS, self.max_output_tokens, self.context_window // 2)

    @property
    def prompt_room(self) -> int:
        """What of the window is left for the prompt."""
        return self.context_window - self.answer_allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a model costs, in credits per 1,000 tokens."""

    input: Decimal
    output: Decimal


CATALOGUE = (
    Model(
        id=CLAUDE_3_SONNET,
        name="Claude 3 Sonnet",
        provider="bedrock",
        context_window=200_000,
        max_output_tokens=4096,
        tiers=_ALL,
        description="Balanced: careful answers at a moderate price.",
        fallbacks=(CLAUDE_3_HAIKU, TITAN_EXPRESS),
    ),
    Model(
        id=CLAUDE_3_HAIKU,
        name="Claude 3 Haiku",
        provider="bedrock",
        context_window=200_000,
        max_output_tokens=4096,
        tiers=_ALL,
        description="Fast and cheap, for everyday questions.",
        fallbacks=(TITAN_EXPRESS, LLAMA_2_13B),
    ),
    Model(
        id=CLAUDE_3_OPUS,
        name="Claude 3 Opus",
        provider="bedrock",
        context_window=200_000,
        max_output_tokens=4096,
        tiers=_PRO,
        description="The most capable, for hard problems.",
        fallbacks=(CLAUDE_3_SONNET, CLAUDE_3_HAIKU),
    ),
    Model(
        id=CLAUDE_INSTANT,
        name="Claude Instant",
        provider="bedrock",
        context_window=100_000,
        max_output_tokens=4096,
        tiers=_PRO,
        description="An earlier fast model.",
    ),
    Model(
        id=TITAN_EXPRESS,
        name="Titan Text Express",
        provider="bedrock",
        context_window=8_192,
        max_output_tokens=8_192,
        tiers=_PRO,
        description="Short texts at a low price.",
    ),
    Model(
        id=LLAMA_2_13B,
        name="Llama 2 13B Chat",
        provider="bedrock",
        context_window=4_096,
        max_output_tokens=2_048,
        tiers=_PRO,
        description="An open model for simple conversation.",
    ),
)
_BY_ID = {model.id: model for model in CATALOGUE}


def find_model(model_id: str, *, tier: str) -> Model:
    """The model, if the tier includes it. ModelUnknownError if not, absent or not."""
    model = _BY_ID.get(model_id)
    if model is None or tier not in model.tiers:
        raise ModelUnknownError
    return model


def model_of(model_id: str) -> Model:
    """The model of the catalogue that a reservation names. KeyError if it names none."""
    return _BY_ID[model_id]


def readable_by(model_id: str, tokens: int) -> int:
    """So many tokens of a prompt, or what that model is given of them at most.

    A model that has left the catalogue is taken for able to read them all.
    """
    model = _BY_ID.get(model_id)
    return tokens if model is None else min(tokens, model.prompt_room)


def models_for(tier: str) -> tuple[Model, ...]:
    """The models that a tier includes, in the catalogue's order."""
    return tuple(model for model in CATALOGUE if tier in model.tiers)


def fallbacks_of(model: Model, *, tier: str) -> tuple[Model, ...]:
    """The models that may answer in its place, in the order in which they are asked."""
    return tuple(_BY_ID[other] for other in model.fallbacks if tier in _BY_ID[other].tiers)
