"""Who reads a stream, and why a reader's connection ends before the stream does."""

from enum import StrEnum


class ReaderKind(StrEnum):
    """Whose connection it is: the conversation's owner's, or an observer's."""

    OWN = "own"
    OBSERVER = "observer"


class CutReason(StrEnum):
    """Why a reader was ended without the stream's end.

    slow: fell too far behind and was told. stuck: took nothing until the send deadline, and can't
    be told. sent_away: this process no longer knows how the stream goes on. gone: the stream is
    no more. not_renewed: the observation was no longer renewed.
    """

    SLOW = "slow"
    STUCK = "stuck"
    SENT_AWAY = "sent_away"
    GONE = "gone"
    NOT_RENEWED = "not_renewed"
