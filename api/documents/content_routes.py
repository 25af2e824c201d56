"""`/v1/documents/{id}/…`: a document's text, outline, positions and record tables, and the bytes that were uploaded."""

from itertools import islice
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from api.admission.access import Caller, Served
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
from api.documents.downloads import Original, build_download
from api.http.cursors import decode_cursor, encode_cursor
from api.http.problems import BadRequestError
from api.http.wire import to_sendable_text
from ingest.parsing.page_images import MAX_WIDTH
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.originals import require_uploaded_bytes
from ingest.storage.documents.records import Version as StoredVersion
from ingest.storage.documents.records import VersionState
from ingest.storage.errors import DocumentStateError, TableNotFoundError
from ingest.storage.tables.types import RecordTable
from ingest.storage.texts.positions import Box, Positions, SheetCell, join_boxes

router = APIRouter(prefix="/v1/documents/{document_id}", tags=["documents"])

Version = Annotated[
    str | None,
    Query(max_length=64, description="The version that spans count in, as a citation names it: `409` if it is gone."),
]
Limit = Annotated[int, Query(ge=1, le=500)]
MAX_POSITIONS = 10_000
_MAX_COLUMNS = 1_000


@router.get("/content", response_class=PlainTextResponse)
def content(
    document_id: str,
    caller: Caller,
    served: Served,
    start: Annotated[int, Query(ge=0)] = 0,
    end: Annotated[int | None, Query(ge=0)] = None,
    version: Version = None,
) -> Response:
    """Return the normalized text, or its code points from `start` to before `end`, in which citation spans count."""
    active = require_active_version(served, caller, document_id, version)
    text = served.contents.texts.read(active, start, end)
    return PlainTextResponse(text, headers={"ETag": f'"{active}"'})


@router.get("/original", response_class=StreamingResponse)
def original(document_id: str, caller: Caller, served: Served, request: Request) -> Response:
    """Download the original bytes of the version that searches find, or of the latest upload if they find none."""
    document = served.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
    version = document.version
    if document.active_version_id not in (None, version.id):
        version = served.documents.catalog.load_version(str(document.active_version_id))
    if version.state is VersionState.CANCELLED:
        raise DocumentStateError("The document was cancelled, and its bytes are gone.", hint="Upload it again.")
    name = version.name.rpartition("/")[2]  # an entry's name is its path, and a file's has no folder in it
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(to_sendable_text(name), safe='')}"}
    return build_download(served.contents.blobs, _build_original(version), request, headers)


@router.get("/outline")
def outline(
    document_id: str,
    caller: Caller,
    served: Served,
    version: Version = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> OutlinePage:
    """List the headings, pages, slides, sheets and tables of a document in reading order, a page at a time."""
    active = require_active_version(served, caller, document_id, version)
    text = served.contents.texts.load_map(active)
    entries = build_outline(text.layout, text.characters, served.contents.tables.load_tables(active))
    begin = decode_cursor(cursor)
    return OutlinePage(
        version=active,
        entries=entries[begin : begin + limit],
        next_cursor=_build_next_cursor(begin + limit, len(entries)),
    )


@router.get("/positions")
def positions(
    document_id: str,
    caller: Caller,
    served: Served,
    start: Annotated[int, Query(ge=0)],
    end: Annotated[int, Query(ge=0)],
    version: Version = None,
    limit: Annotated[int, Query(ge=1, le=MAX_POSITIONS)] = 1_000,
) -> PositionsOut:
    """Say where the code points from `start` to before `end` stand in the file: boxes on its pages, or cells of sheets.

    Send `version` of the citation whose `start` and `end` these are. `limit` counts words or cells.
    """
    active = require_active_version(served, caller, document_id, version)
    if end <= start:
        raise BadRequestError("`end` is not after `start`.", hint="Send the span of a citation, a quote or a hit.")
    place = served.asking.searcher.locate(active, start, end).words
    return _describe_positions(active, place, served.contents.texts.load_positions(active), start, end, limit)


@router.get(
    "/pages/{page}/image",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, 304: {"description": "It is as it was."}},
)
def page_image(
    document_id: str,
    page: Annotated[int, Path(ge=1, le=1_000_000)],
    caller: Caller,
    served: Served,
    width: Annotated[int, Query(ge=16, le=MAX_WIDTH)] = 1_000,
    version: Version = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Show a page of a PDF or of an image as a PNG, over which the boxes of `positions` can be drawn.

    A page that is very high is narrower than `width`.
    """
    active = require_active_version(served, caller, document_id, version)
    headers = {"ETag": f'"{active}.{page}.{width}"', "Cache-Control": "private, no-cache"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    found = served.documents.catalog.load_version(active)
    with served.contents.blobs.local_file(found.blob_key) as path:
        # guard: changed-original-not-drawn
        require_uploaded_bytes(path, found)
        picture = served.work.page_images.draw_page(path, found.media_type, page, width, name=found.name)
    return Response(picture, media_type="image/png", headers=headers)


@router.get("/tables")
def tables(
    document_id: str,
    caller: Caller,
    served: Served,
    version: Version = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> TablePage:
    """List the tables of a document whose rows are records, in reading order, a page at a time."""
    active = require_active_version(served, caller, document_id, version)
    found = served.contents.tables.load_tables(active)
    begin = decode_cursor(cursor)
    return TablePage(
        version=active,
        tables=[
            TableOut.from_table(table, served.asking.searcher.locate(active, table.start, table.end).words)
            for table in found[begin : begin + limit]
        ],
        next_cursor=_build_next_cursor(begin + limit, len(found)),
    )


@router.get("/tables/{table}/rows")
def rows(
    document_id: str,
    table: Annotated[int, Path(ge=0, le=1_000_000)],
    caller: Caller,
    served: Served,
    column: Annotated[
        list[str] | None, Query(max_length=_MAX_COLUMNS, description="Only this column; may be repeated.")
    ] = None,
    version: Version = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> RecordPage:
    """List the rows of a table with their values by column, a page at a time."""
    active = require_active_version(served, caller, document_id, version)
    found = _require_table(served, active, table)
    names = [each.name for each in found.columns]
    unknown = next((name for name in column or () if name not in names), None)
    if unknown is not None:
        raise BadRequestError(
            f"The table has no column {unknown[:100]!r}.", hint="GET /v1/documents/{id}/tables names its columns."
        )
    begin = decode_cursor(cursor)
    numbers = range(begin + 1, min(begin + limit, found.rows) + 1)
    records = served.contents.tables.load_rows(active, found.index, numbers) if numbers else []
    return RecordPage(
        version=active,
        rows=[RecordOut.from_row(row, names, column or names) for row in records],
        total=found.rows,
        next_cursor=_build_next_cursor(begin + limit, found.rows),
    )


def _build_original(version: StoredVersion) -> Original:
    return Original(version.blob_key, version.content_sha256, f"The original of document {version.document_id}")


def _require_table(served: Services, version: str, number: int) -> RecordTable:
    found = served.contents.tables.load_tables(version)
    if number >= len(found):
        raise TableNotFoundError(f"The document has no table {number}: it has {len(found)}, counted from 0.")
    return found[number]


def _build_next_cursor(end: int, total: int) -> str | None:
    return encode_cursor(end) if end < total else None


def require_active_version(served: Services, caller: Principal, document_id: str, version: str | None) -> str:
    """Return the version of a document whose text is shown.

    Raises `DocumentNotFoundError`, also for a document that is closed to the caller, and `DocumentStateError` if there
    is no text, or not of the version that is asked for.
    """
    # guard: content-readers
    document = served.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
    active = document.active_version_id
    if active is None:
        raise DocumentStateError(
            f"The document is {document.version.state}, so it has no text to show.",
            hint="Wait until it is searchable, or get /original.",
        )
    # guard: span-of-active-version
    if version not in (None, active):
        raise DocumentStateError(
            "The document was replaced: its text is that of another version.",
            hint="Search or ask again; spans of the former version mean nothing in the new one.",
        )
    return active


def _describe_positions(
    version: str, place: str, positions: Positions, start: int, end: int, limit: int
) -> PositionsOut:
    found = list(islice(positions.iter_within(start, end), limit + 1))
    more = found[limit][0] if len(found) > limit else None
    places = [at for _, _, at in found[:limit]]
    return PositionsOut(
        version=version,
        place=place,
        boxes=[
            BoxOut(page=at.place, left=at.left, top=at.top, right=at.right, bottom=at.bottom)
            for at in join_boxes(at for at in places if isinstance(at, Box))
        ],
        cells=[CellOut(sheet=at.place, row=at.row, column=at.column) for at in places if isinstance(at, SheetCell)],
        next_start=more,
    )
