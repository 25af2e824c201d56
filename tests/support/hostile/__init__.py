"""Hostile and broken files: each is made by a function, and says what may come of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

CANARY = "xyzzy-canary"
"""Stands in files that no document may read. It must be in no text."""


@dataclass(frozen=True)
class Hostile:
    """A file under a name. `ready` is text that it may be read as, if it is read at all; without it, it must fail.

    `blocks` gives the content a block at a time, so that a large one need not be in memory. `heavy` ones are large or
    take seconds, `endless` ones as long as the limits allow.
    """

    label: str
    name: str
    blocks: Callable[[], Iterator[bytes]]
    ready: str | None = None
    heavy: bool = False
    endless: bool = False


def hostile(
    label: str,
    name: str,
    make: Callable[[], bytes],
    *,
    ready: str | None = None,
    heavy: bool = False,
    endless: bool = False,
) -> Hostile:
    """Return a file whose content is made at once."""

    def blocks() -> Iterator[bytes]:
        yield make()

    return Hostile(label, name, blocks, ready, heavy or endless, endless)
