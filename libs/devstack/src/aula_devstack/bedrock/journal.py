"""What was asked and how it ended, so that a test can see that its fault really struck."""

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

_KEPT = 2_000


@dataclass(slots=True)
class Entry:
    """One request.

    `outcome` is `running`, `complete`, `left` (the caller closed the connection), the name of the
    error that was answered, or the fault that ended it. `tokens` were handed to the connection.
    `left` says whether the caller has closed it meanwhile, also amid a stall.
    """

    operation: str
    model_id: str
    nonce: str | None = None
    tokens: int = 0
    outcome: str = "running"
    left: bool = False


@dataclass(slots=True)
class Journal:
    """The latest 2,000 requests, oldest first."""

    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def open(self, operation: str, model_id: str) -> Entry:
        """Notes a request that has just come."""
        entry = Entry(operation=operation, model_id=model_id)
        self.entries.append(entry)
        return entry

    def shown(self, nonce: str | None) -> list[dict[str, Any]]:
        """The entries, of one nonce if it is given, with camelCase keys."""
        return [
            {"modelId" if key == "model_id" else key: value for key, value in asdict(entry).items()}
            for entry in self.entries
            if nonce is None or entry.nonce == nonce
        ]
