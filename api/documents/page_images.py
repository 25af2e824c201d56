"""Renders document pages as images, always in the sandboxed parser process and never in the API process."""

import threading
from pathlib import Path

from api.http.problems import TooManyRequestsError
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.page_images import can_render_pages
from ingest.parsing.types import Isolation, ParserLimits
from ingest.storage.errors import PageNotFoundError

_LIMITS = ParserLimits(cpu_seconds=20, wall_seconds=30.0)
_WAIT_SECONDS = 10.0


class PageImageRenderer:
    """Renders one page at a time, which takes well under a second. The parser process is started for the first page."""

    def __init__(self, isolation: Isolation) -> None:
        self._isolation = isolation
        self._lock = threading.Lock()
        self._parser: ParserSandbox | None = None

    def render_page(self, path: Path, media_type: str, page: int, width: int, *, name: str) -> bytes:
        """Render a page, counted from 1, as a PNG of this width.

        Raises `PageNotFoundError` if the page does not exist or the media type has no pages with a fixed layout,
        `TooManyRequestsError` if waiting for other pages takes too long, and subclasses of `ParseError` if the file
        cannot be rendered.
        """
        if not can_render_pages(media_type):
            raise PageNotFoundError(f"Pages of {media_type} files cannot be rendered as images.")
        if not self._lock.acquire(timeout=_WAIT_SECONDS):
            raise TooManyRequestsError("Too many pages are being rendered.")
        try:
            if self._parser is None:
                self._parser = ParserSandbox(_LIMITS, isolation=self._isolation)
            return self._parser.render_page(path, media_type, page, width, name=name)
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            if self._parser is not None:
                self._parser.close()
