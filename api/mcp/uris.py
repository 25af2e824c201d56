"""The URIs of resources: a document's text, its pages and sections, its outline, and pictures of its pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qsl, urlsplit

from mcp.shared.uri_template import UriTemplate
from mcp_types import ResourceTemplate

from api.http.problems import BadRequestError
from ingest.storage.inbound import check_text

MAX_URI_CHARS = 4_000
_SHOWN_CHARS = 200


@dataclass(frozen=True)
class DocumentUri:
    """A kind of resource. `template` is its RFC 6570 template; the variables of its query are optional."""

    name: str
    title: str
    description: str
    media_type: str
    template: str

    @cached_property
    def parsed(self) -> UriTemplate:
        return UriTemplate.parse(self.template)

    @property
    def definition(self) -> ResourceTemplate:
        return ResourceTemplate(
            name=self.name,
            title=self.title,
            description=" ".join(self.description.split()),
            mime_type=self.media_type,
            uri_template=self.template,
        )

    def build(self, **variables: object) -> str:
        """Return the URI with these variables. Those that are None are omitted."""
        return self.parsed.expand({name: str(value) for name, value in variables.items() if value is not None})


DOCUMENT = DocumentUri(
    "document",
    "A document's text",
    """The text of a document, or its characters from `start` up to but excluding `end`. One read returns at most
    100,000 characters, and says where to continue.""",
    "text/plain",
    "leadline://documents/{document}{?start,end,version}",
)
PAGES = DocumentUri(
    "pages",
    "Pages of a document",
    "The text of a page, slide or sheet (`7`), or of several (`7-9`). `start` continues within long pages.",
    "text/plain",
    "leadline://documents/{document}/pages/{pages}{?start,version}",
)
SECTION = DocumentUri(
    "section",
    "A section of a document",
    "The text below a heading, named by the heading's title. `start` continues within a long section.",
    "text/plain",
    "leadline://documents/{document}/sections/{section}{?start,version}",
)
OUTLINE = DocumentUri(
    "outline",
    "The outline of a document",
    """The headings, pages, slides, sheets and tables of a document in reading order, each with its span. `next_cursor`
    continues a long outline.""",
    "application/json",
    "leadline://documents/{document}/outline{?cursor}",
)
IMAGE = DocumentUri(
    "page-image",
    "A picture of a page",
    "A page of a PDF, or a picture, as PNG. `width` is in pixels.",
    "image/png",
    "leadline://documents/{document}/pages/{page}/image{?width,version}",
)
KINDS = (DOCUMENT, PAGES, SECTION, OUTLINE, IMAGE)


def parse_uri(uri: str) -> tuple[DocumentUri, dict[str, str]]:
    """Return the kind of resource that a URI names, and the URI's variables.

    Raises `BadRequestError` if the URI matches no template, or has a parameter that its template does not have, and
    `InputError` if a variable contains NUL, which no database stores. The check of the body cannot find it in `%00`.
    """
    if len(uri) > MAX_URI_CHARS:
        raise BadRequestError(
            f"The URI has {len(uri):,} characters. At most {MAX_URI_CHARS:,} are accepted.",
            hint="`resources/templates/list` lists the forms of URIs.",
        )
    for kind in KINDS:
        found = kind.parsed.match(uri)
        if found and all(found.values()):
            _require_known_parameters(uri, kind)
            # guard: mcp-uri-text
            return kind, {name: check_text(str(value), f"uri.{name}") for name, value in found.items()}
    raise BadRequestError(
        f"{uri[:_SHOWN_CHARS]!r} is not the URI of a resource.",
        hint="`resources/list` lists documents, and `resources/templates/list` the forms of URIs.",
    )


def _require_known_parameters(uri: str, kind: DocumentUri) -> None:
    """Raise `BadRequestError` for an unknown or repeated parameter, which the SDK's `match` ignores."""
    names = [name for name, _ in parse_qsl(urlsplit(uri).query, keep_blank_values=True)]
    known = kind.parsed.query_variable_names
    wrong = next((name for name in names if name not in known or names.count(name) > 1), None)
    if wrong is not None:
        raise BadRequestError(
            f"The URI has {'an unknown' if wrong not in known else 'a repeated'} parameter {wrong[:100]!r}.",
            hint=f"A URI of this form may have these, once each: {', '.join(sorted(known))}.",
        )


def find_kind(template: str) -> DocumentUri | None:
    """Return the kind of resource with this template, or None."""
    by_template: Mapping[str, DocumentUri] = {kind.template: kind for kind in KINDS}
    return by_template.get(template)
