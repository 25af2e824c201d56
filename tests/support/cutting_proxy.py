"""A proxy whose connections break off while something is sent through them."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from tests.support.forwarding import Address, Forwarder


class Cutting(Forwarder):
    """Cut each connection after so many bytes from its client, and the next one after twice as many."""

    block_bytes = 4_096

    def __init__(self, url: str, after: int) -> None:
        super().__init__()
        self.after = after
        self.cuts = 0
        self._to = (urlsplit(url).hostname or "", urlsplit(url).port or 0)

    def targets(self) -> Sequence[Address]:
        return [self._to]

    def lets_pass(self, size: int, before: int) -> bool:
        if before + size <= self.after:
            return True
        with self._lock:
            self.cuts += 1
            self.after *= 2
        return False
