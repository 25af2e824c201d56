"""From the bytes of tokens to pieces of text that can be sent as they are."""

import codecs
from collections.abc import Sequence


class DeltaAssembler:
    """Joins token bytes into text, holding back what the next token could still change.

    Held back are incomplete UTF-8 characters and any ending that may grow into a stop string. The pieces, joined, equal
    the whole text up to the stop string that is complete first, however tokens part the text.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether a stop string was met; from then on there is no more text."""
        return self._stopped

    def push(self, token_bytes: bytes) -> str:
        """Add a token and return the text that became certain, perhaps empty."""
        if self._stopped:
            return ""
        self._held += self._decoder.decode(token_bytes)
        found = [(at + len(text), at) for text in self._stop if (at := self._held.find(text)) >= 0]
        if found:
            self._stopped = True
            _, start = min(found)
            return self._take(start)
        return self._take(len(self._held) - self._unsettled())

    def flush(self) -> str:
        """The rest, when no token will follow; broken characters become U+FFFD."""
        if self._stopped:
            return ""
        return self._take(len(self._held)) + self._decoder.decode(b"", final=True)

    def _unsettled(self) -> int:
        """Length of the longest ending that is the beginning of a stop string."""
        longest = min(len(self._held), max((len(text) - 1 for text in self._stop), default=0))
        return next(
            (size for size in range(longest, 0, -1) if any(text.startswith(self._held[-size:]) for text in self._stop)),
            0,
        )

    def _take(self, size: int) -> str:
        taken, self._held = self._held[:size], self._held[size:]
        return taken
