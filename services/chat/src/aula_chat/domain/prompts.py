"""What of a conversation a model is given.

The newest messages that leave the model room to answer, the question always; of them at most as
many as were read. Whatever is older is left out whole, none is shortened.
"""

from dataclasses import dataclass

from aula_chat.domain.language_models import TURNS_JOINED_BY, Turn, merge_turns
from aula_chat.domain.models import Model
from aula_chat.domain.tokens import bytes_within, estimate_prompt


@dataclass(slots=True, kw_only=True)
class Conversation:
    """The newest messages of a session, oldest of them first, and how many stand before them.

    `earlier` goes by positions: messages that were deleted before these count too. `last_position`
    is that of the newest message, 0 if there is none.
    """

    turns: tuple[Turn, ...] = ()
    earlier: int = 0
    last_position: int = 0

    def forget(self) -> None:
        """Let go of the messages."""
        self.turns = ()

    def leave_out(self, count: int) -> None:
        """Count the oldest of the messages among those that stand before them."""
        self.turns = self.turns[count:]
        self.earlier += count


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The turns for a model, what they are estimated at, and how long the answer may be.

    `dropped` counts the messages before the first of them, if any had to be left out; tokens are
    estimates.
    """

    turns: tuple[Turn, ...]
    input_tokens: int
    max_output_tokens: int
    dropped: int


def holds(model: Model, question: str) -> bool:
    """Whether the model can read the question, with room to answer."""
    return len(question.encode()) <= bytes_within(model.prompt_room)


def halve(conversation: Conversation, question: str, model: Model) -> bool:
    """Leave out the older half of what `fit` gives the model, which found it too long.

    False if that was the question alone. How long a prompt is, only the model knows for certain.
    """
    dropped = fit(conversation, question, model).dropped
    left_out = max(0, dropped - conversation.earlier)
    given = len(conversation.turns) - left_out
    conversation.leave_out(left_out + (given + 1) // 2)
    return given > 0


def fit(conversation: Conversation, question: str, model: Model) -> Context:
    """The newest turns that leave the model room to answer it; the question always stays."""
    asked = Turn(role="user", text=question)
    room = bytes_within(model.prompt_room) - len(question.encode())
    turns, kept, follows = conversation.turns, len(conversation.turns), asked
    while kept > 0 and (cost := _cost(turns[kept - 1], follows)) <= room:
        room -= cost
        kept -= 1
        if turns[kept].text.strip():
            follows = turns[kept]
    cut = kept + conversation.earlier > 0
    while kept < len(turns) and not _begins(turns[kept]):
        kept += 1
    merged = merge_turns((*turns[kept:], asked))
    return Context(
        turns=merged,
        input_tokens=estimate_prompt(turn.text for turn in merged),
        max_output_tokens=model.answer_allowance,
        dropped=kept + conversation.earlier if cut else 0,
    )


def _cost(turn: Turn, follows: Turn) -> int:
    """The bytes that a turn adds to a prompt before one that `follows`."""
    if not turn.text.strip():
        return 0
    joint = TURNS_JOINED_BY if turn.role == follows.role else ""
    return len(turn.text.encode()) + len(joint)


def _begins(turn: Turn) -> bool:
    """Whether a prompt may begin with it."""
    return turn.role == "user" and bool(turn.text.strip())
