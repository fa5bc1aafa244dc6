"""A turn: a question put into a conversation, and how the attempt to begin one ended."""

from dataclasses import dataclass
from enum import StrEnum

from aula_chat.domain.prompts import Conversation
from aula_chat.domain.sessions import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A session and the end of its conversation, as they were seen."""

    session: Session
    conversation: Conversation

    @property
    def last_position(self) -> int:
        """That of the newest message that there ever was, 0 if there was none."""
        return max(self.session.last_position, self.conversation.last_position)


class Beginning(StrEnum):
    """What became of the wish to begin a stream.

    changed: the session is no longer as it was seen. fenced: another process has the stream.
    """

    BEGUN = "begun"
    CHANGED = "changed"
    FENCED = "fenced"
