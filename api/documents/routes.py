"""`/v1/documents`: uploads, shows, changes, replaces, retries, cancels and deletes documents."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api.admission.access import Caller, HeldSlot, ServicesDep, Streams, UploadThreads, Writer, get_account
from api.admission.current_caller import CurrentCaller, Follower
from api.admission.idempotency import build_etag_headers, parse_if_match
from api.admission.quota_headers import add_quota_headers
from api.admission.services import Services
from api.documents import multipart
from api.documents.listing_routes import require_writable_document
from api.documents.listing_schemas import VersionList, VersionOut
from api.documents.readers import check_readers, find_readers
from api.documents.schemas import (
    KEPT_HINT,
    DeletionOut,
    DocumentChangeIn,
    DocumentGoneOut,
    DocumentOut,
    RejectedOut,
    UploadedOut,
    UploadsOut,
    find_source_id,
)
from api.http import sse
from api.http.media import describe_file_body, describe_form, describe_request
from api.http.problems import BadRequestError, build_problem
from ingest.intake import Replacement, UploadRequest
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.catalog import AcceptedUpload
from ingest.storage.documents.metadata import MAX_READERS
from ingest.storage.documents.records import IN_PROGRESS, Document
from ingest.storage.documents.versions import require_matching_tag
from ingest.storage.errors import DocumentNotFoundError, UploadError
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.queue.records import PRIORITIES, JobKind
from ingest.storage.quotas.records import QuotaExceededError

router = APIRouter(prefix="/v1/documents", tags=["documents"])

Collection = Annotated[str, Query(min_length=1, max_length=128, pattern=r"^[\w.-]+$")]
Urgency = Literal["interactive", "bulk"]
BatchId = Annotated[str | None, Query(max_length=64)]
# Generated clients send the other fields as query parameters, and send the defaults of these, too: a field may be sent
# only once.
_FORM = describe_form({}, file="files", is_list=True)


@router.post(
    "",
    status_code=202,
    response_model=UploadedOut | UploadsOut,
    responses={200: {"model": UploadedOut, "description": "The same bytes had already been uploaded."}},
    openapi_extra=describe_request(_FORM, describe_file_body()),
)
async def upload_documents(
    request: Request,
    caller: Writer,
    services: ServicesDep,
    threads: UploadThreads,
    collection: Collection = "default",
    name: Annotated[str, Query(max_length=1024)] = "unnamed",
    priority: Urgency = "interactive",
    batch: BatchId = None,
    metadata: Annotated[str, Query(max_length=64 * 1024)] = "{}",
    readers: Annotated[list[str] | None, Query(max_length=MAX_READERS)] = None,
) -> JSONResponse:
    """Upload one or more files.

    As `multipart/form-data`, every part with a file name becomes a document. The fields `collection`, `batch`,
    `metadata` (a JSON object), `readers` (a JSON list) and `priority` apply to all of them. Each field may be sent
    once, before or after the files. No file is accepted before the end of the form. With any other content type, the
    body is one file, and `name`, `metadata` and `readers` are query parameters. `readers` are the users and groups who
    may read the document, such as `user:ann` and `group:hr`; a person who has signed in with an identity provider can
    be named by name or verified mail address. If `readers` is omitted, the whole tenant may read the
    document.

    `202` means that the bytes are on disk and the job is queued. `200` means that the same bytes had already been
    uploaded. The existing document is not changed, and `kept` lists the fields that you sent with different values. Use
    `PATCH` to change these fields. Uploads with priority `bulk` are processed after your other uploads. `batch` is the
    id of a batch created with `POST /v1/batches`.
    """
    checked = None if readers is None else await threads.run(check_readers, services, caller, readers)
    base = UploadRequest(
        caller.tenant_id,
        collection,
        name,
        attributes=multipart.parse_metadata(metadata.encode()),
        priority=PRIORITIES[priority],
        batch_id=batch,
        key_id=caller.key_id or "",
        owner=caller.owner,
        readers=checked,
        sender=caller.readers,
        collections=caller.collections,
    )
    content_type = request.headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        received = await multipart.receive_form(
            request.stream(),
            content_type,
            base,
            services.work.intake,
            threads,
            partial(check_readers, services, caller),
            url_fields=request.query_params.keys(),
        )
    else:
        received = await multipart.receive_body(request.stream(), base, services.work.intake.receive_upload, threads)
    services.work.doorbell.notify(JobKind.INGEST)
    await _add_storage_quota_headers(request, caller, services)
    reach_fault_point("upload.answering")
    if len(received.outcomes) == 1:
        return build_single_response(*received.outcomes[0])
    return _build_multi_response(received.outcomes)


@router.head("/{document_id}", include_in_schema=False)
@router.get("/{document_id}")
def get_document(document_id: str, caller: Caller, services: ServicesDep, response: Response) -> DocumentOut:
    """Show a document: its state, its progress, and the reason if it failed.

    Send its `ETag` as `If-Match` to change it.
    """
    document = services.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
    response.headers.update(build_etag_headers(document))
    return _show(services, caller, document)


@router.get("/{document_id}/events", response_class=Response, responses={200: {"content": {sse.MEDIA_TYPE: {}}}})
async def stream_document_events(
    document_id: str,
    caller: Caller,
    current: Follower,
    services: ServicesDep,
    slot: HeldSlot,
    streams: Streams,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream a document as server-sent events until its latest version is processed.

    The events are `snapshot`, `progress` and finally `end`. Each event has the same content as `GET
    /v1/documents/{id}`. `Last-Event-ID` works on any server, no matter how long ago the stream was interrupted.
    """
    await slot.move_to(streams)
    return await sse.stream_updates(
        _build_stream_source(services, caller.tenant_id, current, document_id), last_event_id
    )


@router.put(
    "/{document_id}",
    status_code=202,
    response_model=UploadedOut,
    responses={200: {"model": UploadedOut, "description": "The document already has these bytes."}},
    openapi_extra=describe_request(describe_file_body()),
)
async def replace_document(
    document_id: str,
    request: Request,
    caller: Writer,
    services: ServicesDep,
    threads: UploadThreads,
    if_match: Annotated[str | None, Header()] = None,
    name: Annotated[str | None, Query(max_length=1024)] = None,
    priority: Urgency = "interactive",
    batch: BatchId = None,
) -> JSONResponse:
    """Replace a document's content. The body is the new file; `name` renames the document.

    Searches use the old content until the new content is `ready`. If the replacement fails, only the displayed state
    changes. Send the document's `ETag` as `If-Match`. The response is `428` without `If-Match`, and `412` if the
    document has changed since. `200` with `duplicate` means that the document already has these bytes.
    """
    admitted = parse_if_match(if_match)
    document = await run_in_threadpool(
        partial(services.documents.catalog.load_document, caller.tenant_id, document_id, readers=caller.readers)
    )
    # Check the match here, before the file's bytes are received, and again when they are recorded.
    require_matching_tag(document, admitted)
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise BadRequestError(
            "A document can only be replaced with a single file.", hint="Send the file itself as the request body."
        )
    replacement = UploadRequest(
        caller.tenant_id,
        document.collection,
        name or document.name,
        priority=PRIORITIES[priority],
        replaces=Replacement(document_id, admitted),
        batch_id=batch,
        key_id=caller.key_id or "",
        sender=caller.readers,
        collections=caller.collections,
    )
    received = await multipart.receive_body(request.stream(), replacement, services.work.intake.receive_upload, threads)
    services.work.doorbell.notify(JobKind.INGEST)
    await _add_storage_quota_headers(request, caller, services)
    return build_single_response(*received.outcomes[0])


@router.patch("/{document_id}")
def change_document(
    document_id: str,
    body: DocumentChangeIn,
    caller: Writer,
    services: ServicesDep,
    response: Response,
    if_match: Annotated[str | None, Header()] = None,
) -> DocumentOut:
    """Change a document's metadata, title, readers or collection without uploading it again.

    `metadata` is a JSON merge patch: fields that are null are removed, and all others are set. A null `title` restores
    the title found in the content. Null `readers` opens the document to the whole tenant; a list restricts it to these
    readers. Everyone else then gets `404`, and their searches no longer find any of its content. Only the uploader and
    admins of the collection may change `readers` (`403`, `not_uploader`). A new `collection` moves the document, with
    the entries of an archive, mailbox or message, which requires write access to both collections. The new collection's
    grants apply immediately. Send the document's `ETag` as `If-Match`. The
    response is `428` without `If-Match`, and `412` if the document has changed since. The change creates a new `ETag`.
    """
    admitted = parse_if_match(if_match)
    require_writable_document(services, caller, document_id)
    document = services.documents.catalog.change_document(
        caller.tenant_id, document_id, body.to_change(partial(find_readers, services, caller)), admitted, caller=caller
    )
    services.work.settle(document_id)
    response.headers.update(build_etag_headers(document))
    return _show(services, caller, document)


@router.delete("/{document_id}")
def delete_document(document_id: str, caller: Writer, services: ServicesDep) -> DeletionOut:
    """Delete a document. Once this returns, no search or answer shows any of its content.

    The response is a receipt; deleting the document again returns the same receipt. The entries of an archive, mailbox
    or message are deleted with it.
    """
    require_writable_document(services, caller, document_id)
    deletion = services.work.delete(caller.tenant_id, document_id, caller.readers)
    services.work.doorbell.notify(JobKind.COLLECT)
    return DeletionOut.from_deletion(deletion)


@router.get("/{document_id}/deletion")
def get_document_deletion(document_id: str, caller: Caller, services: ServicesDep) -> DeletionOut:
    """Show the receipt of a deleted document."""
    return DeletionOut.from_deletion(
        services.documents.catalog.load_deletion(caller.tenant_id, document_id, readers=caller.readers)
    )


@router.post("/{document_id}/cancel")
def cancel_document(document_id: str, caller: Writer, services: ServicesDep, response: Response) -> DocumentOut:
    """Stop processing a document's latest content. A new document becomes `cancelled`; a replaced one keeps its state.

    `409` if nothing is in progress. To start over, upload the same bytes again.
    """
    require_writable_document(services, caller, document_id)
    document = services.documents.catalog.cancel_latest_version(caller.tenant_id, document_id, readers=caller.readers)
    services.work.doorbell.notify(JobKind.COLLECT)
    response.headers.update(build_etag_headers(document))
    return _show(services, caller, document)


@router.post("/{document_id}/retry", status_code=202)
def retry_document(document_id: str, caller: Writer, services: ServicesDep, response: Response) -> DocumentOut:
    """Process a failed document again, using the uploaded bytes. `409` if the document has not failed."""
    accepted = services.work.intake.retry_document(
        caller.tenant_id,
        document_id,
        sender=caller.readers,
        collections=caller.collections,
        key_id=caller.key_id or "",
    )
    services.work.doorbell.notify(JobKind.INGEST)
    response.headers.update(build_etag_headers(accepted.document))
    return _show(services, caller, accepted.document)


@router.get("/{document_id}/versions")
def list_document_versions(document_id: str, caller: Caller, services: ServicesDep) -> VersionList:
    """List the versions of a document's content, newest first, each with its outcome."""
    document = services.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
    found = services.documents.catalog.list_versions(caller.tenant_id, document_id, readers=caller.readers)
    return VersionList(versions=[VersionOut.from_version(version, document) for version in found])


def _show(services: Services, caller: Principal, document: Document) -> DocumentOut:
    cards = services.contents.cards.load_document_cards(caller.tenant_id, [document.id], readers=caller.readers)
    progress = services.documents.catalog.load_progress(document)
    source_id, source_name = find_source_id(document), None
    if source_id and document.version.failure and caller.is_admin:  # Only admins see sources.
        source_name = services.sources.sources.find_name(caller.tenant_id, source_id)
    return DocumentOut.from_document(document, progress, card=cards.get(document.id), source_name=source_name)


async def _add_storage_quota_headers(request: Request, caller: Principal, services: Services) -> None:
    add_quota_headers(
        request, await run_in_threadpool(services.admission.meter.load_storage_statuses, get_account(caller))
    )


def _build_stream_source(
    services: Services, tenant_id: str, current_caller: CurrentCaller, document_id: str
) -> sse.StreamSource:
    seen = False

    def load_state(caller: Principal) -> sse.StreamState:
        nonlocal seen
        try:
            document = services.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
        except DocumentNotFoundError:
            if not seen:
                raise
            return sse.StreamState(DocumentGoneOut(id=document_id).model_dump(mode="json"), ended=True)
        seen = True
        body = _show(services, caller, document).model_dump(mode="json")
        return sse.StreamState(body, document.version.state not in IN_PROGRESS)

    return sse.StreamSource(
        caller=current_caller,
        look=load_state,
        watch=lambda wake: services.events.feed.watch(tenant_id, document_id, wake),
        going_on=lambda: services.accepting,
    )


def build_single_response(name: str, outcome: AcceptedUpload | UploadError) -> JSONResponse:
    """Build the response for one file: `202`, or `200` for a duplicate. Raises the error of a rejected file."""
    if isinstance(outcome, UploadError):
        raise outcome
    headers = {"Location": f"/v1/documents/{outcome.document.id}", **build_etag_headers(outcome.document)}
    return JSONResponse(_build_upload_json(outcome), 202 if outcome.created else 200, headers)


def _build_multi_response(outcomes: list[tuple[str, AcceptedUpload | UploadError]]) -> JSONResponse:
    """Build the response for several files: `202` if any was accepted. Each rejected file has its own problem."""
    refused = [(name, outcome) for name, outcome in outcomes if isinstance(outcome, UploadError)]
    accepted = [outcome for _, outcome in outcomes if isinstance(outcome, AcceptedUpload)]
    rejected = [RejectedOut(name=name, problem=build_problem(error)) for name, error in refused]
    if not accepted:
        for _, error in refused:
            if isinstance(error, QuotaExceededError):
                raise error
        names = ", ".join(name for name, _ in refused[:5])
        raise BadRequestError(f"None of the {len(refused)} files was accepted ({names}).", hint=refused[0][1].hint)
    body = {
        "documents": [_build_upload_json(outcome) for outcome in accepted],
        "rejected": [r.model_dump() for r in rejected],
    }
    return JSONResponse(body, 202)


def _build_upload_json(accepted_upload: AcceptedUpload) -> dict[str, Any]:
    document = DocumentOut.from_document(accepted_upload.document)
    hint = KEPT_HINT.format(what=" and ".join(accepted_upload.kept)) if accepted_upload.kept else None
    uploaded = UploadedOut(
        **document.model_dump(), duplicate=not accepted_upload.created, kept=list(accepted_upload.kept), hint=hint
    )
    return uploaded.model_dump(mode="json")
