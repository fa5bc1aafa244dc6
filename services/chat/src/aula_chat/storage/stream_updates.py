"""Parts of updates of stream documents, all by aggregation pipeline."""

from typing import Any

from aula_chat.domain.streams import Checkpoint, Settlement, Stream
from aula_chat.storage.stream_documents import Document, from_settlement

# leases are compared with the database's own clock
NOW_MS = {"$toLong": "$$NOW"}
_KEPT_MS = 7 * 24 * 3600 * 1000


def lease(seconds: float) -> Document:
    """A lease from now on."""
    return {"leaseMs": {"$add": [NOW_MS, int(seconds * 1000)]}}


def literal(**fields: Any) -> Document:
    """These values as they are: in a pipeline a string that begins with $ is a field's path."""
    return {name: {"$literal": value} for name, value in fields.items()}


def with_checkpoint(checkpoint: Checkpoint) -> Document:
    """The text and the number of the last event."""
    return literal(checkpoint={"text": checkpoint.text, "number": checkpoint.number})


def settled(settlement: Settlement) -> Document:
    """Accounting's answer; the document is kept for a week from then on."""
    kept = {"purgeAt": {"$add": ["$$NOW", _KEPT_MS]}}
    return literal(settlement=from_settlement(settlement)) | kept


def released(stream: Stream, settlement: Settlement | None) -> list[Document]:
    """The release of an ended stream: the session is free, and the text no longer kept here."""
    fields: Document = {"leaseMs": 0, "question": "", "releasedAt": "$$NOW"}
    if stream.outcome is not None:
        fields["outcome.text"] = ""
    removed = ["live", "checkpoint"]
    if settlement is not None:
        fields |= settled(settlement)
        removed.append("unsettled")
    return [{"$set": fields}, {"$unset": removed}]
