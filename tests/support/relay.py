"""A line between a browser and a service that can be cut: in the middle of what is sent, and for as long as wished."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.support.forwarding import Address, Forwarder


class Relay(Forwarder):
    """Passes bytes on. Once `cut_after` more of them went to the service, the line is cut until `mend`.

    `target` is a URL or the path of a Unix socket. Port 0 is any free one.
    """

    def __init__(self, target: str, *, port: int = 0) -> None:
        super().__init__(port=port)
        parts = urlsplit(target)
        self._target: Address = target if target.startswith("/") else (parts.hostname or "", parts.port or 0)
        self._left: int | None = None
        self.is_cut = threading.Event()

    def cut_after(self, size: int) -> None:
        with self._lock:
            self._left = size

    def cut(self) -> None:
        """Close every connection, and take no more."""
        self.is_cut.set()
        self.hang_up()

    def mend(self) -> None:
        with self._lock:
            self._left = None
        self.is_cut.clear()

    def targets(self) -> Sequence[Address]:
        return [] if self.is_cut.is_set() else [self._target]

    def lets_pass(self, size: int, before: int) -> bool:
        with self._lock:
            if self._left is None:
                return True
            self._left -= size
            spent = self._left <= 0
        if spent:
            self.cut()
        return not spent


class HangingRelay(Relay):
    """After `hang`, until `mend`, takes connections and passes no request on, so that none is answered."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self._passes = threading.Event()
        self._passes.set()
        self.is_waiting = threading.Event()

    def hang(self) -> None:
        self._passes.clear()

    def mend(self) -> None:
        super().mend()
        self._passes.set()

    def lets_pass(self, size: int, before: int) -> bool:
        if not self._passes.is_set():
            self.is_waiting.set()
        self._passes.wait()
        return super().lets_pass(size, before)


@contextmanager
def relayed(target: str) -> Iterator[Relay]:
    with Relay(target).running() as relay:
        yield relay
