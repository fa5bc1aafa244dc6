"""The frames of one stream in little memory, the n-th at index n - 1."""

import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import overload

BLOCK_BYTES = 4 * 1024
_FASTEST = 1


class Frames(Sequence[bytes]):
    """Only grows. A frame costs four bytes beside its own; as an object it would cost 80.

    Frames differ in their texts alone. So all but the newest are kept compressed, in blocks of
    `BLOCK_BYTES` wherever frames end; the newest are what is logged and sent, and are at hand.
    """

    __slots__ = ("_blocks", "_ends", "_newest")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._newest = bytearray()  # what follows the blocks
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
        self._newest += frame
        self._ends.append(self._ends[-1] + len(frame))
        if len(self._newest) >= 2 * BLOCK_BYTES:
            self._compress()

    def joined(self, after: int, last: int) -> bytes:
        """The frames after number `after`, to number `last`."""
        start, end = self._ends[after], self._ends[last]
        compressed = len(self._blocks) * BLOCK_BYTES
        if start >= compressed:
            # through a view, as a slice would be copied twice; it is gone before a frame is added
            return bytes(memoryview(self._newest)[start - compressed : end - compressed])
        first = start // BLOCK_BYTES
        parts = list(map(zlib.decompress, self._blocks[first : -(-end // BLOCK_BYTES)]))
        if end > compressed:
            parts.append(bytes(memoryview(self._newest)[: end - compressed]))
        skipped = first * BLOCK_BYTES
        return b"".join(parts)[start - skipped : end - skipped]

    def size(self, after: int, last: int) -> int:
        """The bytes of these frames."""
        return self._ends[last] - self._ends[after]

    def last_within(self, after: int, last: int, limit: int) -> int:
        """The number of the last frame, `last` at most, that `limit` bytes hold; one is held."""
        limit += self._ends[after]
        end = bisect_right(self._ends, limit, lo=after + 1, hi=last + 1) - 1
        return max(end, after + 1)

    def _compress(self) -> None:
        """Keep less than two blocks as they are."""
        cut = len(self._newest) // BLOCK_BYTES * BLOCK_BYTES - BLOCK_BYTES
        with memoryview(self._newest) as newest:
            for start in range(0, cut, BLOCK_BYTES):
                block = zlib.compress(newest[start : start + BLOCK_BYTES], _FASTEST)
                self._blocks.append(block)
        self._newest = self._newest[cut:]
