"""The record of how far an installation's files are sealed in the format that binds each file to its name.

The record is stored in the catalog, because anyone who can write to the files could change a record stored with them.
"""

from enum import StrEnum
from typing import Protocol

# A key in the folder or bucket that marks its files as sealed. Without it, a process that has no key would read
# garbage.
SEALED_MARKER = "SEALED"


class Sealing(StrEnum):
    """The formats that are accepted, and the format in which new files are written."""

    MIXED = "mixed"  # all formats are accepted; new files get the previous format, which the previous release can read
    BINDING = "binding"  # all formats are accepted; new files are bound to their names
    BOUND = "bound"  # only files that are bound to their names are accepted


class SealRecord(Protocol):
    """The record of an installation's sealing."""

    def load_sealing(self) -> Sealing:
        """Load the record. It is `MIXED` for an installation of an earlier release."""

    def record_sealing(self, sealing: Sealing) -> None:
        """Record the state of sealing."""


class InMemorySealRecord:
    """A record for a store without a catalog. It is held in memory for one process."""

    def __init__(self, sealing: Sealing = Sealing.MIXED) -> None:
        self._sealing = sealing

    def load_sealing(self) -> Sealing:
        return self._sealing

    def record_sealing(self, sealing: Sealing) -> None:
        self._sealing = sealing
