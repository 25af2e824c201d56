"""Tools that search and read documents, and the tool that adds a document."""

import binascii
from base64 import b64decode

from api.admission.services import Services
from api.answers.asking import require_collections
from api.documents.content_routes import require_active_version_id
from api.documents.content_schemas import OutlineEntryOut, build_outline
from api.documents.readers import check_readers
from api.http.cursors import decode_cursor, encode_cursor
from api.http.problems import BadRequestError
from api.mcp.lines import format_card_lines, load_card_lines
from api.mcp.schemas import (
    DocumentsOut,
    ListArguments,
    ListedCollectionOut,
    ListedDocumentOut,
    OutlineArguments,
    OutlineOut,
    PassageOut,
    PassagesOut,
    ReadArguments,
    SearchArguments,
    TextOut,
    UploadArguments,
    UploadedFileOut,
)
from ingest.intake import UploadRequest
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.documents.listing import DocumentFilter, ListingCursor
from ingest.storage.documents.metadata import validate_metadata
from ingest.storage.documents.records import ListOrder
from ingest.storage.queue.records import PRIORITIES, JobKind
from ingest.storage.texts.normalize import remove_invisible_characters
from retrieval.search.requests import SearchRequest


def search_passages(services: Services, caller: Principal, arguments: SearchArguments) -> PassagesOut:
    require_collections(services, caller, arguments.collections)
    request = SearchRequest(
        tenant_id=caller.tenant_id,
        query=arguments.query,
        top_k=arguments.limit,
        collections=tuple(arguments.collections),
        documents=tuple(arguments.documents),
        filters=arguments.filters,
        for_answer=True,  # A model reads the hits.
        readers=caller.readers,
    )
    found = services.asking.searcher.search(request)
    is_reranked = found.reranked is not None and not found.reranked.failure
    unreadable = [remove_invisible_characters(each.title) for each in found.unreadable]
    lines = load_card_lines(services, caller, [hit.passage.document_id for hit in found.hits])
    passages = [
        # A document that was closed or deleted after the search has no line.
        PassageOut.from_hit(hit, lines.get(hit.passage.document_id, remove_invisible_characters(hit.passage.title)))
        for hit in found.hits
    ]
    return PassagesOut(passages=passages, reranked=is_reranked, unreadable=unreadable)


def read_text(services: Services, caller: Principal, arguments: ReadArguments) -> TextOut:
    """Read a span, page or section. Raises `BadRequestError` if the document has no such part."""
    document = services.documents.catalog.load_document(caller.tenant_id, arguments.document, readers=caller.readers)
    version = require_active_version_id(services, caller, arguments.document, arguments.version)
    text = services.contents.texts.load_map(version)
    if arguments.last_page is not None and arguments.page is None:
        raise BadRequestError("`last_page` is sent without `page`.", hint="Send `page`, the first page to read, too.")
    if arguments.page is not None or arguments.section is not None:
        first, end = _require_part(build_outline(text.layout, text.characters, ()), arguments)
        # Callers pass `start` to continue reading within a long page or section.
        begin = max(first, arguments.start or 0)
    else:
        begin, end = arguments.start or 0, text.characters
    end = min(end, text.characters if arguments.end is None else arguments.end)
    stop = min(end, begin + arguments.limit)
    return TextOut(
        document=document.id,
        version=version,
        title=remove_invisible_characters(document.title or document.name),
        line=format_card_lines(services, caller, [document])[document.id],
        place=services.asking.searcher.locate(version, begin, stop).words if begin < stop else "",
        start=begin,
        end=max(begin, stop),
        text=remove_invisible_characters(services.contents.texts.read(version, begin, stop)),
        next_start=stop if stop < end else None,
        characters=text.characters,
    )


def _require_part(entries: list[OutlineEntryOut], arguments: ReadArguments) -> tuple[int, int]:
    """Return the span of the section, the page or the pages that the arguments name."""
    if arguments.section is not None:
        wanted = " ".join(arguments.section.split()).casefold()
        found = [each for each in entries if each.kind == "heading" and each.title.casefold() == wanted]
        section = _require_single_entry(found, f"section {arguments.section[:100]!r}")
        return section.start, section.end
    last = arguments.page if arguments.last_page is None else arguments.last_page
    first_page, last_page = (_require_page(entries, number) for number in (arguments.page, last))
    if last_page.start < first_page.start:
        raise BadRequestError(
            f"Page {last} comes before page {arguments.page}.", hint="Exchange the first and the last page."
        )
    return first_page.start, last_page.end


def _require_page(entries: list[OutlineEntryOut], number: int | None) -> OutlineEntryOut:
    found = [each for each in entries if each.kind not in ("heading", "table") and each.page == number]
    return _require_single_entry(found, f"page {number}")


def _require_single_entry(found: list[OutlineEntryOut], what: str) -> OutlineEntryOut:
    if len(found) == 1:
        return found[0]
    if not found:
        raise BadRequestError(f"The document has no {what}.", hint="Call `outline` to list the document's parts.")
    spans = ", ".join(f"{each.start} to {each.end}" for each in found[:20])
    raise BadRequestError(
        f"The document has {len(found)} parts called {what}: {spans}.",
        hint="Read one of these parts by `start` and `end`.",
    )


def read_outline(services: Services, caller: Principal, arguments: OutlineArguments) -> OutlineOut:
    version = require_active_version_id(services, caller, arguments.document, None)
    text = services.contents.texts.load_map(version)
    entries = build_outline(text.layout, text.characters, services.contents.tables.load_tables(version))
    begin = decode_cursor(arguments.cursor)
    end = begin + arguments.limit
    return OutlineOut(
        version=version, entries=entries[begin:end], next_cursor=encode_cursor(end) if end < len(entries) else None
    )


def list_documents(services: Services, caller: Principal, arguments: ListArguments) -> DocumentsOut:
    require_collections(services, caller, [arguments.collection] if arguments.collection else [])
    conditions = parse_conditions(arguments.filters)
    wanted = DocumentFilter(collection=arguments.collection, named=arguments.named, conditions=conditions)
    after, limit = ListingCursor(decode_cursor(arguments.cursor)), arguments.limit + 1
    found = services.documents.catalog.listing.list_page(
        caller.tenant_id, wanted, caller.readers, order=ListOrder.NEWEST, after=after, limit=limit
    )
    page = [document for document, _ in found[: arguments.limit]]
    totals = [] if arguments.cursor else services.accounts.grants.list_collections(caller.tenant_id)
    lines = format_card_lines(services, caller, page)
    return DocumentsOut(
        documents=[ListedDocumentOut.from_document(document, lines[document.id]) for document in page],
        collections=[
            ListedCollectionOut(
                collection=each.name,
                title=each.title and remove_invisible_characters(each.title),
                documents=each.documents,
            )
            for each in totals
            if caller.collections.can_read(each.name)
        ],
        next_cursor=encode_cursor(page[-1].sequence) if len(found) > arguments.limit else None,
    )


def upload_file(services: Services, caller: Principal, arguments: UploadArguments) -> UploadedFileOut:
    """Upload a file, as `POST /v1/documents` does.

    Raises `BadRequestError`, or a subclass of `UploadError` if the file is rejected.
    """
    request = UploadRequest(
        caller.tenant_id,
        arguments.collection,
        arguments.name,
        attributes=validate_metadata(arguments.metadata),
        priority=PRIORITIES[arguments.priority],
        key_id=caller.key_id or "",
        owner=caller.owner,
        readers=None if arguments.readers is None else check_readers(services, caller, arguments.readers),
        sender=caller.readers,
        collections=caller.collections,
    )
    with services.work.intake.receive_upload(request) as receiving:
        receiving.write(_decode_content(arguments))
        accepted = receiving.accept()
    services.work.doorbell.notify(JobKind.INGEST)
    lines = format_card_lines(services, caller, [accepted.document])
    listed = ListedDocumentOut.from_document(accepted.document, lines[accepted.document.id])
    kept = (
        f"These bytes were already uploaded with different {' and '.join(accepted.kept)}, which were kept."
        if accepted.kept
        else None
    )
    return UploadedFileOut(**listed.model_dump(), duplicate=not accepted.created, hint=kept)


def _decode_content(arguments: UploadArguments) -> bytes:
    if (arguments.text is None) == (arguments.base64 is None):
        raise BadRequestError(
            "An upload requires either `text` or `base64`.", hint="Send exactly one of `text` and `base64`."
        )
    if arguments.text is not None:
        return arguments.text.encode()
    try:
        return b64decode(arguments.base64 or "", validate=True)
    except binascii.Error as error:
        raise BadRequestError(
            f"`base64` is not valid Base64: {error}.", hint="Encode the file's bytes in Base64."
        ) from error
