"""`/v1/documents/{id}/…`: a document's text, outline, positions and tables, and its original file."""

from itertools import islice
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from api.admission.access import Caller, ServicesDep
from api.admission.services import Services
from api.documents.content_schemas import (
    BoxOut,
    CellOut,
    OutlinePage,
    PositionsOut,
    RecordOut,
    RecordPage,
    TableOut,
    TablePage,
    build_outline,
)
from api.documents.downloads import OriginalFile, build_download
from api.http.conditional import has_current_content
from api.http.cursors import decode_cursor, encode_cursor
from api.http.media import describe_file_body
from api.http.problems import BadRequestError
from api.http.wire import to_sendable_text
from ingest.parsing.page_images import MAX_WIDTH
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.originals import require_unchanged_original
from ingest.storage.documents.records import Version as StoredVersion
from ingest.storage.documents.records import VersionState
from ingest.storage.errors import DocumentStateError, TableNotFoundError
from ingest.storage.tables.types import RecordTable
from ingest.storage.texts.positions import Box, Positions, SheetCell, join_boxes

router = APIRouter(prefix="/v1/documents/{document_id}", tags=["documents"])

Version = Annotated[
    str | None,
    Query(
        max_length=64,
        description="The version that the spans refer to, as named by a citation; `409` if it is not the current one.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=500)]
MAX_POSITIONS = 10_000
_MAX_COLUMNS = 1_000


@router.head("/content", include_in_schema=False)
@router.get("/content", response_class=PlainTextResponse)
def get_document_content(
    document_id: str,
    caller: Caller,
    services: ServicesDep,
    start: Annotated[int, Query(ge=0)] = 0,
    end: Annotated[int | None, Query(ge=0)] = None,
    version: Version = None,
) -> Response:
    """Return the normalized text, or its code points from `start` up to but excluding `end`.

    The spans of citations refer to this text.
    """
    active = require_active_version_id(services, caller, document_id, version)
    text = services.contents.texts.read(active, start, end)
    return PlainTextResponse(text, headers={"ETag": f'"{active}"'})


@router.head("/original", include_in_schema=False)
@router.get("/original", response_class=StreamingResponse, responses={200: {"content": describe_file_body()}})
def get_document_original(document_id: str, caller: Caller, services: ServicesDep, request: Request) -> Response:
    """Download the original file of the version that searches use or, if there is none yet, the latest upload."""
    document = services.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
    version = document.version
    if document.active_version_id not in (None, version.id):
        version = services.documents.catalog.load_version(str(document.active_version_id))
    if version.state is VersionState.CANCELLED:
        raise DocumentStateError(
            "The document was cancelled, and its file was removed.", hint="Upload the document again."
        )
    name = version.name.rpartition("/")[2]  # The name of an archive entry is its path.
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(to_sendable_text(name), safe='')}"}
    return build_download(services.contents.blobs, _build_original(version), request, headers)


@router.get("/outline")
def get_document_outline(
    document_id: str,
    caller: Caller,
    services: ServicesDep,
    version: Version = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> OutlinePage:
    """List a document's headings, pages, slides, sheets and tables in reading order. Paginated."""
    active = require_active_version_id(services, caller, document_id, version)
    text = services.contents.texts.load_map(active)
    entries = build_outline(text.layout, text.characters, services.contents.tables.load_tables(active))
    begin = decode_cursor(cursor)
    return OutlinePage(
        version=active,
        entries=entries[begin : begin + limit],
        next_cursor=_build_next_cursor(begin + limit, len(entries)),
    )


@router.get("/positions")
def get_document_positions(
    document_id: str,
    caller: Caller,
    services: ServicesDep,
    start: Annotated[int, Query(ge=0)],
    end: Annotated[int, Query(ge=0)],
    version: Version = None,
    limit: Annotated[int, Query(ge=1, le=MAX_POSITIONS)] = 1_000,
) -> PositionsOut:
    """Locate a span of the text in the original file: boxes on its pages, or cells of its sheets.

    The span goes from code point `start` up to but excluding `end`. If the span comes from a citation, send the
    citation's `version`. `limit` is the maximum number of words or cells.
    """
    active = require_active_version_id(services, caller, document_id, version)
    if end <= start:
        raise BadRequestError("`end` must be greater than `start`.", hint="Send the span of a citation, quote or hit.")
    place = services.asking.searcher.locate(active, start, end).words
    return _build_positions_page(active, place, services.contents.texts.load_positions(active), start, end, limit)


@router.head("/pages/{page}/image", include_in_schema=False)
@router.get(
    "/pages/{page}/image",
    response_class=Response,
    responses={200: {"content": describe_file_body("image/png")}, 304: {"description": "Not modified."}},
)
def get_page_image(
    document_id: str,
    page: Annotated[int, Path(ge=1, le=1_000_000)],
    caller: Caller,
    services: ServicesDep,
    width: Annotated[int, Query(ge=16, le=MAX_WIDTH)] = 1_000,
    version: Version = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Return a page of a PDF, or an image, as PNG. The boxes of `positions` can be drawn over it.

    A very tall page is rendered narrower than `width`.
    """
    active = require_active_version_id(services, caller, document_id, version)
    headers = {"ETag": f'"{active}.{page}.{width}"', "Cache-Control": "private, no-cache"}
    if has_current_content(if_none_match or "", headers["ETag"]):
        return Response(status_code=304, headers=headers)
    picture = render_page_image(services, active, page, width)
    return Response(picture, media_type="image/png", headers=headers)


@router.get("/tables")
def list_document_tables(
    document_id: str,
    caller: Caller,
    services: ServicesDep,
    version: Version = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> TablePage:
    """List the record tables of a document in reading order. Paginated."""
    active = require_active_version_id(services, caller, document_id, version)
    found = services.contents.tables.load_tables(active)
    begin = decode_cursor(cursor)
    return TablePage(
        version=active,
        tables=[
            TableOut.from_table(table, services.asking.searcher.locate(active, table.start, table.end).words)
            for table in found[begin : begin + limit]
        ],
        next_cursor=_build_next_cursor(begin + limit, len(found)),
    )


@router.get("/tables/{table}/rows")
def list_table_rows(
    document_id: str,
    table: Annotated[int, Path(ge=0, le=1_000_000)],
    caller: Caller,
    services: ServicesDep,
    column: Annotated[
        list[str] | None, Query(max_length=_MAX_COLUMNS, description="Return only this column; may be repeated.")
    ] = None,
    version: Version = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> RecordPage:
    """List the rows of a table. The values of each row are keyed by column. Paginated."""
    active = require_active_version_id(services, caller, document_id, version)
    found = _require_table(services, active, table)
    names = [each.name for each in found.columns]
    unknown = next((name for name in column or () if name not in names), None)
    if unknown is not None:
        raise BadRequestError(
            f"The table has no column {unknown[:100]!r}.",
            hint="GET /v1/documents/{id}/tables lists the columns of each table.",
        )
    begin = decode_cursor(cursor)
    numbers = range(begin + 1, min(begin + limit, found.rows) + 1)
    records = services.contents.tables.load_rows(active, found.index, numbers) if numbers else []
    positions = services.contents.texts.load_positions(active)
    return RecordPage(
        version=active,
        rows=[
            RecordOut.from_row(row, names, column or names, positions.find_sheet_row(row.start, row.end))
            for row in records
        ],
        total=found.rows,
        next_cursor=_build_next_cursor(begin + limit, found.rows),
    )


def render_page_image(services: Services, version_id: str, page: int, width: int) -> bytes:
    """Render a page of a version's original file as PNG. The caller has checked who may read the version."""
    found = services.documents.catalog.load_version(version_id)
    with services.contents.blobs.provide_local_file(found.blob_key) as path:
        # guard: changed-original-not-drawn
        require_unchanged_original(path, found)
        return services.work.page_images.render_page(path, found.media_type, page, width, name=found.name)


def _build_original(version: StoredVersion) -> OriginalFile:
    return OriginalFile(version.blob_key, version.content_sha256, f"The original of document {version.document_id}")


def _require_table(services: Services, version_id: str, table_number: int) -> RecordTable:
    found = services.contents.tables.load_tables(version_id)
    if table_number >= len(found):
        raise TableNotFoundError(
            f"The document has no table {table_number}. It has {len(found)} in total, numbered from 0."
        )
    return found[table_number]


def _build_next_cursor(end: int, total: int) -> str | None:
    return encode_cursor(end) if end < total else None


def require_active_version_id(services: Services, caller: Principal, document_id: str, version_id: str | None) -> str:
    """Return the id of the document version whose text can be shown.

    Raises `DocumentNotFoundError` if the document does not exist or the caller cannot read it. Raises
    `DocumentStateError` if the document has no text or `version_id` is not its active version.
    """
    # guard: content-readers
    document = services.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
    active = document.active_version_id
    if active is None:
        raise DocumentStateError(
            f"The document is {document.version.state} and has no text yet.",
            hint="Wait until the document is searchable, or download /original.",
        )
    # guard: span-of-active-version
    if version_id not in (None, active):
        raise DocumentStateError(
            "The document was replaced, so this version's text is no longer available.",
            hint="Search or ask again; spans of the old version do not apply to the new one.",
        )
    return active


def _build_positions_page(
    version_id: str, location: str, positions: Positions, start: int, end: int, limit: int
) -> PositionsOut:
    found = list(islice(positions.iter_positions_within(start, end), limit + 1))
    more = found[limit][0] if len(found) > limit else None
    places = [at for _, _, at in found[:limit]]
    return PositionsOut(
        version=version_id,
        place=location,
        boxes=[
            BoxOut(page=at.place, left=at.left, top=at.top, right=at.right, bottom=at.bottom)
            for at in join_boxes(at for at in places if isinstance(at, Box))
        ],
        cells=[CellOut(sheet=at.place, row=at.row, column=at.column) for at in places if isinstance(at, SheetCell)],
        next_start=more,
    )
