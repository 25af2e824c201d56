"""The port through which model files arrive, and what it tells the person who waits."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from retrieval.models.manifest import Address, ModelFile

Arrived = Callable[[int], None]
"""Told how many of the file's bytes are here, as often as is useful; the count never falls within a delivery."""


class Source(Protocol):
    """A place that model files come from."""

    @property
    def name(self) -> str:
        """What people call it."""

    def opens(self, address: Address) -> bool:
        """Whether this source can fetch from such an address."""

    def scratch_bytes(self, address: Address) -> int:
        """Room on the disk that a delivery takes for a while, besides the file itself."""

    def deliver(self, file: ModelFile, address: Address, part: Path, arrived: Arrived) -> None:
        """Make `part` the whole file, keeping of what is there already the bytes that are known to be right.

        Raises `ModelSourceError` when it cannot, `ModelHashError` when it sees wrong bytes before the caller does,
        and lets the disk's `OSError` pass; each leaves `part` so that the next delivery can go on from it. The
        caller checks the hash of the whole.
        """


class Progress(Protocol):
    """Where a fetch reports to."""

    def advanced(self, file: ModelFile, done_bytes: int, total_bytes: int, source: str) -> None:
        """So much of the file is here; a new source may start with less than the one before it had."""

    def notice(self, text: str) -> None:
        """One sentence for a person: a source was given up, or another process is fetching."""


class NoProgress:
    """For callers that show nothing."""

    def advanced(self, file: ModelFile, done_bytes: int, total_bytes: int, source: str) -> None:
        pass

    def notice(self, text: str) -> None:
        pass
