"""The frames of one stream in one piece of memory, the n-th at index n - 1."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import overload


class Frames(Sequence[bytes]):
    """Only grows. A frame costs its bytes and four more; as an object of its own it would 80."""

    __slots__ = ("_data", "_ends")

    def __init__(self) -> None:
        self._data = bytearray()
        self._ends = array("I", (0,))  # where each frame ends, in bytes from the first's beginning

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        chosen = range(len(self))[index]
        if isinstance(chosen, int):
            return self.joined(chosen, chosen + 1)
        return [self.joined(one, one + 1) for one in chosen]

    def append(self, frame: bytes) -> None:
        """Add the next frame."""
        self._data += frame
        self._ends.append(len(self._data))

    def joined(self, after: int, last: int) -> bytes:
        """The frames after number `after`, to number `last`."""
        # through a view, as a slice would be copied twice; it is gone before a frame is added
        return bytes(memoryview(self._data)[self._ends[after] : self._ends[last]])

    def size(self, after: int, last: int) -> int:
        """The bytes of these frames."""
        return self._ends[last] - self._ends[after]

    def last_within(self, after: int, last: int, limit: int) -> int:
        """The number of the last frame, `last` at most, that `limit` bytes hold; one is held."""
        limit += self._ends[after]
        end = bisect_right(self._ends, limit, lo=after + 1, hi=last + 1) - 1
        return max(end, after + 1)
