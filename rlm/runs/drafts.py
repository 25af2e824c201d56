"""The text of an answer while it is written, logged in pieces, so that whoever follows a run can read along."""

import time
from collections.abc import Callable

from ingest.storage.answers.run_records import Entry

# Pieces of a reply come many times a second; the log takes one in this time.
_SECONDS_APART = 1.0


class Drafts:
    """Gathers the pieces of one attempt. An entry says `from` which character on its `text` stands; 0 begins anew."""

    def __init__(self, attempt: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`attempt` is a number that no other attempt at the run has."""
        self._attempt = attempt
        self._clock = clock
        self._text = ""
        self._logged = 0
        self._since: float | None = None

    def add(self, piece: str) -> Entry | None:
        """Take the next piece; returns an entry if it is time for one. A short reply needs none."""
        self._text += piece
        now = self._clock()
        if self._since is None:
            self._since = now
        if now - self._since < _SECONDS_APART or len(self._text) == self._logged:
            return None
        begin, self._logged, self._since = self._logged, len(self._text), now
        return Entry(f"draft:{self._attempt}:{begin}", "draft", {"from": begin, "text": self._text[begin:]})
