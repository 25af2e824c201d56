"""The only module of the workers that the API may import: tell them that the catalog has new work.

A ring carries nothing, because the rows say it all; a lost one costs a poll's delay and no job.
"""

from collections.abc import Callable


class Doorbell:
    """Calls whoever was added, in this process."""

    def __init__(self) -> None:
        self._bells: list[Callable[[], None]] = []

    def add(self, *bells: Callable[[], None]) -> None:
        self._bells.extend(bells)

    def ring(self) -> None:
        for bell in self._bells:
            bell()
