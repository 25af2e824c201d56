"""The formats in which an answer can be rendered, and the spans that its links point to."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote


class ExportForm(StrEnum):
    """The file formats in which a conversation or a run can be exported."""

    MARKDOWN = "markdown"
    JSON = "json"


class Form(StrEnum):
    """A format in which an answer can be rendered."""

    HTML = "html"
    MRKDWN = "mrkdwn"


@dataclass(frozen=True)
class CitedSpan:
    """A span of a document that is the target of a citation marker."""

    document_id: str
    start: int
    end: int

    @property
    def api_path(self) -> str:
        """The REST API path that returns the span's text."""
        return f"/v1/documents/{quote(self.document_id, safe='')}/content?start={self.start:d}&end={self.end:d}"

    @property
    def page_path(self) -> str:
        """The path of the portal page that shows the span, for users who have no key."""
        return f"/library/{quote(self.document_id, safe='')}?start={self.start:d}&end={self.end:d}"
