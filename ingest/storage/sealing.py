"""Records whether an installation accepts only sealed files that are bound to their names.

The record is stored in the catalog, because anyone who can write to the files could change a record stored with them.
"""

from enum import StrEnum
from typing import Protocol

# Key of the blob that marks a folder or bucket as sealed. Without this marker, a process that has no encryption key
# would read encrypted bytes.
SEALED_MARKER = "SEALED"


class Sealing(StrEnum):
    """The accepted file formats, and the format in which new files are written."""

    MIXED = "mixed"  # all formats are accepted; new files get the previous format, which the previous release can read
    BINDING = "binding"  # all formats are accepted; new files are bound to their names
    BOUND = "bound"  # only files that are bound to their names are accepted


class SealRecord(Protocol):
    """Loads and stores the sealing state of an installation."""

    def load_sealing(self) -> Sealing:
        """Load the sealing state. It is `MIXED` for an installation of an earlier release."""

    def record_sealing(self, sealing: Sealing) -> None:
        """Record the sealing state."""


class InMemorySealRecord:
    """Keeps the sealing state in the memory of this process, for a store without a catalog."""

    def __init__(self, sealing: Sealing = Sealing.MIXED) -> None:
        self._sealing = sealing

    def load_sealing(self) -> Sealing:
        return self._sealing

    def record_sealing(self, sealing: Sealing) -> None:
        self._sealing = sealing
