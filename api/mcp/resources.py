"""Resources: documents that users attach to a conversation, and their parts, which programs read by URI.

A resource is read with the caller's rights, as the tools `read` and `outline` do. A document that the caller may not
see is answered like one that does not exist.
"""

import base64
from collections.abc import Iterator, Mapping

from mcp_types import (
    BlobResourceContents,
    ListResourcesResult,
    ListResourceTemplatesResult,
    Resource,
    TextResourceContents,
)
from pydantic import Field

from api.admission.services import Services
from api.documents.content_routes import render_page_image, require_active_version_id
from api.http.cursors import decode_cursor, encode_cursor
from api.http.wire import Wire, to_sendable_text
from api.mcp.lines import format_card_lines
from api.mcp.reading import read_outline, read_text
from api.mcp.schemas import DocumentId, OutlineArguments, ReadArguments, TextOut
from api.mcp.uris import DOCUMENT, IMAGE, KINDS, OUTLINE, DocumentUri, parse_uri
from ingest.parsing.page_images import MAX_WIDTH
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.listing import DocumentFilter, ListingCursor
from ingest.storage.documents.records import Document, ListOrder
from ingest.storage.texts.normalize import remove_invisible_characters

# The most characters of one read, as in the tool `read`: about 25,000 tokens, which the context windows of models that
# read documents can hold.
MAX_CHARS = 100_000
_PAGE = 100
_OUTLINE_ENTRIES = 500
_META = "leadline/text"

Contents = TextResourceContents | BlobResourceContents


class ImageArguments(Wire):
    """The variables of a picture's URI."""

    document: DocumentId
    page: int = Field(ge=1, le=1_000_000)
    width: int = Field(1_000, ge=16, le=MAX_WIDTH)
    version: str | None = Field(None, max_length=64)


def list_resources(services: Services, caller: Principal, cursor: str | None) -> ListResourcesResult:
    """List the documents that the caller may read and that have text, newest first. A page may be short."""
    found = services.documents.catalog.listing.list_page(
        caller.tenant_id,
        DocumentFilter(),
        caller.readers,
        order=ListOrder.NEWEST,
        after=ListingCursor(decode_cursor(cursor)),
        limit=_PAGE + 1,
    )
    page = [document for document, _ in found[:_PAGE]]
    lines = format_card_lines(services, caller, page)
    return ListResourcesResult(
        resources=[build_resource(each, lines[each.id]) for each in page if each.active_version_id is not None],
        next_cursor=encode_cursor(page[-1].sequence) if len(found) > _PAGE else None,
    )


def build_resource(document: Document, line: str) -> Resource:
    return Resource(
        uri=DOCUMENT.build(document=document.id),
        name=remove_invisible_characters(to_sendable_text(document.name)),
        title=document.title and remove_invisible_characters(to_sendable_text(document.title)),
        description=to_sendable_text(line),
        mime_type=DOCUMENT.media_type,
        _meta={"leadline/document": {"collection": document.collection, "media_type": document.media_type}},
    )


def list_templates() -> ListResourceTemplatesResult:
    return ListResourceTemplatesResult(resource_templates=[kind.definition for kind in KINDS])


def read_resource(services: Services, caller: Principal, uri: str, *, max_chars: int = MAX_CHARS) -> list[Contents]:
    """Read a resource. If its text is longer than `max_chars`, a second content says where to continue.

    Raises `BadRequestError` or `ValidationError` for a wrong URI, and the errors of the tools `read` and `outline`.
    """
    kind, variables = parse_uri(uri)
    if kind is OUTLINE:
        return [_read_outline(services, caller, uri, variables)]
    if kind is IMAGE:
        return [_read_image(services, caller, uri, variables)]
    arguments = ReadArguments.model_validate({**_parse_pages(variables), "limit": max_chars})
    return [*_build_text_contents(kind, variables, uri, read_text(services, caller, arguments))]


def _parse_pages(variables: Mapping[str, str]) -> dict[str, str]:
    """Replace the variable `pages`, such as `7` or `7-9`, with the arguments of the tool `read`."""
    arguments = dict(variables)
    if (pages := arguments.pop("pages", None)) is not None:
        first, dash, last = pages.partition("-")
        arguments |= {"page": first, **({"last_page": last} if dash else {})}
    return arguments


def _build_text_contents(
    kind: DocumentUri, variables: Mapping[str, str], uri: str, found: TextOut
) -> Iterator[TextResourceContents]:
    following = None
    if found.next_start is not None:
        following = kind.build(**{**variables, "start": found.next_start, "version": found.version})
    about = {**found.model_dump(mode="json", exclude={"text"}), "next": following}
    yield TextResourceContents(uri=uri, mime_type=kind.media_type, text=found.text, _meta={_META: about})
    if following is not None:
        # Programs give models only the contents, so without these words a model would take the part for the whole.
        words = (
            f"This text is cut. It has the characters {found.start:,} to {found.end:,} of {found.characters:,}. To "
            f"continue, read the resource {following}, or call `read` with `start` {found.next_start}."
        )
        yield TextResourceContents(uri=uri, mime_type=kind.media_type, text=words)


def _read_outline(services: Services, caller: Principal, uri: str, variables: Mapping[str, str]) -> Contents:
    outline = read_outline(services, caller, OutlineArguments.model_validate({**variables, "limit": _OUTLINE_ENTRIES}))
    return TextResourceContents(uri=uri, mime_type=OUTLINE.media_type, text=outline.model_dump_json())


def _read_image(services: Services, caller: Principal, uri: str, variables: Mapping[str, str]) -> Contents:
    wanted = ImageArguments.model_validate(variables)
    version = require_active_version_id(services, caller, wanted.document, wanted.version)
    picture = render_page_image(services, version, wanted.page, wanted.width)
    return BlobResourceContents(uri=uri, mime_type=IMAGE.media_type, blob=base64.b64encode(picture).decode())
