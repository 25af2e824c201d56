"""The formats that an answer can be rendered in, and the spans that its links lead to."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote


class Form(StrEnum):
    """A format that an answer can be rendered in."""

    HTML = "html"
    MRKDWN = "mrkdwn"


@dataclass(frozen=True)
class CitedSpan:
    """A span of a document that a citation marker links to."""

    document_id: str
    start: int
    end: int

    @property
    def address(self) -> str:
        """The path of the span's text in the REST API."""
        return f"/v1/documents/{quote(self.document_id, safe='')}/content?start={self.start:d}&end={self.end:d}"

    @property
    def page_address(self) -> str:
        """The path of the portal page that shows the span, for people without a key."""
        return f"/library/{quote(self.document_id, safe='')}?start={self.start:d}&end={self.end:d}"
