"""Converse requests: their JSON read and judged as the service judges it."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from aula_devstack.bedrock.errors import BedrockError
from aula_devstack.bedrock.models import Model, find_model
from aula_devstack.bedrock.tokens import count_tokens

Role = Literal["user", "assistant"]

_ROLES: tuple[Role, ...] = ("user", "assistant")
_MOST_STOP_SEQUENCES = 2500


@dataclass(frozen=True, slots=True)
class Turn:
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class ConverseRequest:
    model: Model
    model_id: str
    """As the caller wrote it."""
    system: str
    turns: tuple[Turn, ...]
    max_tokens: int
    stop_sequences: tuple[str, ...]
    input_tokens: int


def read_request(model_id: str, body: bytes) -> ConverseRequest:
    """The request in `body`, or the BedrockError that the service would answer with."""
    document = _document(body)
    model = find_model(model_id)
    turns = _turns(document.get("messages"), model=model)
    system = _system(document.get("system"), model=model)
    max_tokens, stop_sequences = _inference(document.get("inferenceConfig"), model=model)
    input_tokens = count_tokens(system) + sum(count_tokens(turn.text) for turn in turns)
    if input_tokens > model.context_window:
        raise BedrockError.validation("Input is too long for requested model.")
    return ConverseRequest(
        model=model,
        model_id=model_id,
        system=system,
        turns=turns,
        max_tokens=max_tokens,
        stop_sequences=stop_sequences,
        input_tokens=input_tokens,
    )


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BedrockError("SerializationException", "The request body is not JSON.") from error
    if not isinstance(document, dict):
        raise BedrockError("SerializationException", "Start of structure or map expected.")
    return document


def _turns(messages: Any, *, model: Model) -> tuple[Turn, ...]:
    if not isinstance(messages, list):
        raise _constraint("messages", messages, "Member must not be null")
    turns = tuple(_turn(index, message) for index, message in enumerate(messages))
    if not turns or turns[0].role != "user":
        raise BedrockError.validation(
            "A conversation must start with a user message. "
            "Try again with a conversation that starts with a user message."
        )
    if any(before.role == after.role for before, after in itertools.pairwise(turns)):
        raise BedrockError.validation(
            "A conversation must alternate between user and assistant roles. "
            "Make sure the conversation alternates between user and assistant roles and try again."
        )
    if turns[-1].role != "user" and not model.prefill:
        raise BedrockError.validation(
            "A conversation must end with a user message. "
            "Try again with a conversation that ends with a user message."
        )
    return turns


def _turn(index: int, message: Any) -> Turn:
    if not isinstance(message, dict):
        raise _constraint(f"messages.{index + 1}.member", message, "Member must be a structure")
    role = message.get("role")
    if role not in _ROLES:
        raise _constraint(
            f"messages.{index + 1}.member.role",
            role,
            "Member must satisfy enum value set: [user, assistant]",
        )
    content = message.get("content")
    if not isinstance(content, list) or not content:
        raise BedrockError.validation(
            f"The content field in the Message object at messages.{index} is empty. "
            "Add a ContentBlock object to the content field and try again."
        )
    where = f"messages.{index}.content"
    texts = [_text(f"{where}.{number}", block) for number, block in enumerate(content)]
    return Turn(role=cast("Role", role), text="".join(texts))


def _text(where: str, block: Any) -> str:
    text = block.get("text") if isinstance(block, dict) else None
    if not isinstance(text, str):
        raise BedrockError.validation(
            f"The model returned the following errors: {where}: only text is supported."
        )
    if not text.strip():
        raise BedrockError.validation(
            f"The text field in the ContentBlock object at {where} is blank. "
            "Add text to the text field, and try again."
        )
    return text


def _system(system: Any, *, model: Model) -> str:
    if not system:
        return ""
    if not model.system:
        raise BedrockError.validation(
            "This model doesn't support the system field. Remove system and try again."
        )
    if not isinstance(system, list):
        raise _constraint("system", system, "Member must be a list")
    return "\n".join(_text(f"system.{number}", block) for number, block in enumerate(system))


def _inference(config: Any, *, model: Model) -> tuple[int, tuple[str, ...]]:
    if config is None:
        return model.default_output_tokens, ()
    if not isinstance(config, dict):
        raise _constraint("inferenceConfig", config, "Member must be a structure")
    for name in ("temperature", "topP"):
        value = config.get(name)
        if value is not None and (not _is_number(value) or not 0 <= value <= 1):
            raise _constraint(f"inferenceConfig.{name}", value, "Member must be between 0 and 1")
    stops = config.get("stopSequences") or []
    if (
        not isinstance(stops, list)
        or len(stops) > _MOST_STOP_SEQUENCES
        or not all(isinstance(stop, str) and stop for stop in stops)
    ):
        raise _constraint("inferenceConfig.stopSequences", stops, "Members must not be empty")
    return _max_tokens(config.get("maxTokens"), model=model), tuple(stops)


def _max_tokens(value: Any, *, model: Model) -> int:
    if value is None:
        return model.default_output_tokens
    if not isinstance(value, int) or isinstance(value, bool):
        raise BedrockError("SerializationException", "NUMBER_VALUE expected for maxTokens.")
    if value < 1:
        raise _constraint(
            "inferenceConfig.maxTokens",
            value,
            "Member must have value greater than or equal to 1",
        )
    limit = model.max_output_tokens
    if value > limit:
        raise BedrockError.validation(
            f"The maximum tokens you requested exceeds the model limit of {limit}. "
            f"Try again with a maximum tokens value that is lower than {limit}."
        )
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _constraint(where: str, value: object, constraint: str) -> BedrockError:
    shown = "null" if value is None else f"'{str(value)[:100]}'"
    return BedrockError.validation(
        f"1 validation error detected: Value {shown} at '{where}' "
        f"failed to satisfy constraint: {constraint}"
    )
