"""The forms that an answer can be rendered in, and the cited spans that links in them lead to."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote


class Form(StrEnum):
    """A form that an answer can be rendered in."""

    HTML = "html"
    MRKDWN = "mrkdwn"


@dataclass(frozen=True)
class CitedSpan:
    """A span of one of our documents that a marker leads to."""

    document_id: str
    start: int
    end: int

    @property
    def address(self) -> str:
        """Return the address of the span, relative to the service's own."""
        return f"/v1/documents/{quote(self.document_id, safe='')}/content?start={self.start:d}&end={self.end:d}"

    @property
    def page_address(self) -> str:
        """Return the address of the portal's page that shows the span, for people who have no key at hand."""
        return f"/library/{quote(self.document_id, safe='')}?start={self.start:d}&end={self.end:d}"
