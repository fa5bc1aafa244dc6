"""Text that UTF-8 can carry, out of pieces that may hold halves of surrogate pairs."""

_HIGH_FIRST, _HIGH_LAST = "\ud800", "\udbff"


class SurrogateMender:
    """Joins pairs, also across pieces; replaces what has no other half by U+FFFD."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, text: str) -> str:
        """The text that is certain now; a trailing first half waits for the next piece."""
        if not self._half and text.isascii():
            return text
        text = self._half + text
        self._half = ""
        if text and _HIGH_FIRST <= text[-1] <= _HIGH_LAST:
            text, self._half = text[:-1], text[-1]
        return mend(text)

    def finish(self) -> str:
        """What still waited, replaced; empty if nothing did."""
        text, self._half = self._half, ""
        return mend(text)


def mend(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
