"""How far the files of an installation are sealed in the format that binds each to its name.

The record is in the catalog, because whoever can write the files could change a record among them.
"""

from enum import StrEnum
from typing import Protocol

# A note in the folder or bucket that says that files are sealed; without a key they would be read as garbage.
SEALED_MARKER = "SEALED"


class Sealing(StrEnum):
    """The formats that are read, and the one that new files get."""

    MIXED = "mixed"  # every format is read; new files get the earlier one, which the release before reads
    BINDING = "binding"  # every format is read; new files are bound to their names
    BOUND = "bound"  # only files that are bound to their names are read


class SealRecord(Protocol):
    """The record of an installation."""

    def load_sealing(self) -> Sealing:
        """Return what is recorded; `MIXED` for an installation of an earlier release."""

    def record_sealing(self, sealing: Sealing) -> None:
        """Record how far the files are sealed."""


class InMemorySealRecord:
    """The record of a store without a catalog: it holds for one process, and is not kept."""

    def __init__(self, sealing: Sealing = Sealing.MIXED) -> None:
        self._sealing = sealing

    def load_sealing(self) -> Sealing:
        return self._sealing

    def record_sealing(self, sealing: Sealing) -> None:
        self._sealing = sealing
