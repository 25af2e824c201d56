"""An engine that is loading, ready or failed, and says which."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from rlm.errors import LanguageModelError, LanguageModelUnavailableError
from rlm.llm.local.generation import Engine

log = logging.getLogger(__name__)

_LOADING_RETRY_SECONDS = 2.0


class EngineHost:
    """Loads an engine in a thread of its own, so that the server can answer meanwhile."""

    def __init__(self, load: Callable[[], Engine]) -> None:
        self._load = load
        self._engine: Engine | None = None
        self._error: LanguageModelError | None = None
        self._since = time.monotonic()

    def start(self) -> None:
        """Begin to load."""
        # A daemon: the vendor's constructor cannot be interrupted, and must not keep the process when it has to end.
        threading.Thread(target=self._run, name="engine-loader", daemon=True).start()

    def engine(self) -> Engine:
        """The engine; raises LanguageModelUnavailableError while it loads, and what it failed with."""
        if self._error is not None:
            raise LanguageModelUnavailableError(self._error.detail, hint=self._error.hint)
        if self._engine is None:
            raise LanguageModelUnavailableError(
                "The language model is still loading.",
                hint="It takes about 20 seconds.",
                retry_after_seconds=_LOADING_RETRY_SECONDS,
            )
        return self._engine

    def health(self) -> dict[str, Any]:
        """`status` (loading, ready, failed) and the `seconds` it has been so; a failure has `reason` and `hint`."""
        seconds = round(time.monotonic() - self._since, 1)
        if self._error is not None:
            return {"status": "failed", "seconds": seconds, "reason": self._error.detail, "hint": self._error.hint}
        return {"status": "loading" if self._engine is None else "ready", "seconds": seconds}

    def _run(self) -> None:
        begun = time.monotonic()
        try:
            engine = self._load()
        except LanguageModelError as error:
            log.error("The language model cannot be loaded: %s", error)
            self._fail(error)
        except Exception as error:  # The thread's last boundary: unhandled, it would leave the host loading for ever.
            log.exception("The language model cannot be loaded.")
            self._fail(LanguageModelUnavailableError(f"The language model cannot be loaded: {error!r}."))
        else:
            log.info("The language model is ready after %.1f s.", time.monotonic() - begun)
            self._since, self._engine = time.monotonic(), engine

    def _fail(self, error: LanguageModelError) -> None:
        self._since, self._error = time.monotonic(), error
