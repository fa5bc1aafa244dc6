"""The models that this endpoint serves, and how their ids are written."""

import re
from dataclasses import dataclass

from aula_devstack.bedrock.errors import BedrockError


@dataclass(frozen=True, slots=True)
class Model:
    """A model's limits, in tokens; `system` says whether it takes system prompts."""

    id: str
    name: str
    context_window: int
    max_output_tokens: int
    default_output_tokens: int
    system: bool = True
    prefill: bool = False
    """Whether a conversation may end with the assistant's turn, to be continued."""


MODELS = {
    model.id: model
    for model in (
        Model("anthropic.claude-3-sonnet-20240229-v1:0", "Claude 3 Sonnet", 200_000, 4096, 4096,
              prefill=True),
        Model("anthropic.claude-3-haiku-20240307-v1:0", "Claude 3 Haiku", 200_000, 4096, 4096,
              prefill=True),
        Model("anthropic.claude-3-opus-20240229-v1:0", "Claude 3 Opus", 200_000, 4096, 4096,
              prefill=True),
        Model("anthropic.claude-instant-v1", "Claude Instant", 100_000, 4096, 4096, prefill=True),
        Model("amazon.titan-text-express-v1", "Titan Text Express", 8192, 8192, 512, system=False),
        Model("meta.llama2-13b-chat-v1", "Llama 2 13B Chat", 4096, 2048, 512),
    )
}  # fmt: skip

_REGION_PREFIX = re.compile(r"^(?:us|us-gov|eu|apac|global)\.(?=[a-z0-9]+\.)")
_ARN = re.compile(
    r"^arn:aws(?:-[^:]+)?:bedrock:[a-z0-9-]{1,20}:(?:[0-9]{12})?:"
    r"(?:foundation-model|inference-profile)/(?P<id>[A-Za-z0-9.:-]+)$"
)


def find_model(model_id: str) -> Model:
    """The model of a plain id, a cross-region inference profile (`us.…`) or an ARN of either.

    Raises ValidationException for an id that no model has.
    """
    bare = base_id(model_id)
    # `anthropic.claude-instant-v1:2:100k` names a version and window of the same model
    model = (
        MODELS.get(bare)
        or MODELS.get(":".join(bare.split(":")[:2]))
        or MODELS.get(bare.split(":", maxsplit=1)[0])
    )
    if model is None:
        raise BedrockError.validation("The provided model identifier is invalid.")
    return model


def base_id(model_id: str) -> str:
    """`model_id` without ARN and region prefix."""
    arn = _ARN.match(model_id)
    return _REGION_PREFIX.sub("", arn["id"] if arn else model_id)
