"""The record of how many of an installation's files must be sealed in the format that binds files to their names.

The record is stored in the catalog, because anyone who can write to the files could change a record stored with them.
"""

from enum import StrEnum
from typing import Protocol

# A key in the folder or bucket that marks the store as sealed. Without this marker, a process without a key would read
# encrypted bytes.
SEALED_MARKER = "SEALED"


class Sealing(StrEnum):
    """The accepted file formats, and the format in which new files are written."""

    MIXED = "mixed"  # all formats are accepted; new files get the previous format, which the previous release can read
    BINDING = "binding"  # all formats are accepted; new files are bound to their names
    BOUND = "bound"  # only files that are bound to their names are accepted


class SealRecord(Protocol):
    """Loads and stores the state of an installation's sealing."""

    def load_sealing(self) -> Sealing:
        """Load the state of sealing. It is `MIXED` for an installation of an earlier release."""

    def record_sealing(self, sealing: Sealing) -> None:
        """Record the state of sealing."""


class InMemorySealRecord:
    """A sealing record for a store without a catalog. It is held in memory for one process."""

    def __init__(self, sealing: Sealing = Sealing.MIXED) -> None:
        self._sealing = sealing

    def load_sealing(self) -> Sealing:
        return self._sealing

    def record_sealing(self, sealing: Sealing) -> None:
        self._sealing = sealing
