"""Admits requests depending on free disk space. Deletions and questions are always admitted.

Other changes require enough free space. Pure ASGI middleware that runs inside `Authentication`, so that requests
without a key cannot use up the ballast (disk space that is reserved for deletions).
"""

import re
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.middleware import CALLER
from ingest.storage.ballast import Ballast
from ingest.storage.errors import StorageFullError

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Matches paths of POST requests that stop something or free space, as DELETE requests do.
_FREEING_PATHS = re.compile(r"/v1/sign-out|/v1/users/[^/]+/sign-out|/v1/.+/(cancel|finish)")
# Matches paths of POST requests with questions, which store only a little data: the question, its answer and its usage.
_QUESTION_PATHS = re.compile(
    r"/v1/(search|answers|answers/estimate|chat/completions|responses|documents/bulk/plan)"
    r"|/v1/vector_stores/[^/]+/search|/v1/answers/[^/]+/feedback|/mcp"
)
# Space for a question in bytes. An answer of 20,000 words with its passages takes 200 kB in the catalog.
_QUESTION_BYTES = 1024**2


class DiskGate:
    """Frees ballast for deletions and questions, and rejects other changes while the disk is nearly full."""

    def __init__(self, app: ASGIApp, *, ballast: Ballast, has_room: Callable[[], bool]) -> None:
        self._app = app
        self._ballast = ballast
        self._has_room = has_room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # guard: ballast-for-callers
        if scope["type"] == "http" and scope.get(CALLER) is not None:
            self._admit_request(scope["method"], scope["path"].rstrip("/"))
        await self._app(scope, receive, send)

    def _admit_request(self, method: str, path: str) -> None:
        """Free disk space for a request if necessary. Raises `StorageFullError` if there is too little.

        This runs in the event loop, because checking the file system takes only 2 µs.
        """
        if method == "DELETE" or (method == "POST" and _FREEING_PATHS.fullmatch(path)):
            # guard: deletion-gets-room
            self._ballast.shrink()
        elif method == "POST" and _QUESTION_PATHS.fullmatch(path):
            # Half of the ballast is reserved for deletions.
            self._ballast.shrink(_QUESTION_BYTES, keep_half=True)
        elif method not in _SAFE_METHODS and not self._has_room():
            # guard: full-disk-refuses-changes
            raise StorageFullError(
                "The disk that contains the data folder is nearly full, so no new data is accepted.",
                hint="Delete documents or free space on that disk. Searches, answers and deletions still work.",
            )
