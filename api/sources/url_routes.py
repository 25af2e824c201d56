"""`/v1/documents/from-url`: fetches a web page or a file from its address, and adds it as a document."""

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import Field

from api.admission.access import ServicesDep, UploadThreads, Writer
from api.admission.services import Services
from api.documents.readers import check_readers
from api.documents.routes import build_single_response
from api.documents.schemas import UploadedOut
from api.http.wire import Wire
from api.sources.context import open_source_context
from ingest.intake import UploadRequest
from ingest.sources.errors import ItemGoneError, ItemRefusedError
from ingest.sources.packages import report_missing_packages
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.catalog import AcceptedUpload
from ingest.storage.documents.metadata import MAX_READERS
from ingest.storage.queue.records import PRIORITIES, JobKind

router = APIRouter(prefix="/v1/documents", tags=["documents"])


class UrlIn(Wire):
    """The address of a web page or a file, and the description of the new document. `name` is that of the page."""

    url: str = Field(min_length=1, max_length=1_000, examples=["https://example.org/terms"])
    collection: str = Field("default", min_length=1, max_length=128, pattern=r"^[\w.-]+$")
    name: str | None = Field(None, min_length=1, max_length=1024)
    priority: Literal["interactive", "bulk"] = "interactive"
    metadata: dict[str, Any] = Field(default_factory=dict)
    readers: list[str] | None = Field(None, max_length=MAX_READERS)


@router.post(
    "/from-url",
    status_code=202,
    response_model=UploadedOut,
    responses={200: {"model": UploadedOut, "description": "The same bytes had already been uploaded."}},
)
async def upload_document_from_url(
    body: UrlIn, caller: Writer, services: ServicesDep, threads: UploadThreads
) -> JSONResponse:
    """Fetch a web page or a file from its address, and add it as a document, as an upload would.

    Of a web page, the main content is kept, with its headings and tables. The address must be public and use https,
    unless the operator of the service allows private networks; redirects are followed and checked in the same way. The
    document's metadata has the address as `url`. It does not change when the page does: a source does that.
    `502` if the server does not respond, and `422` if the address or its content cannot be used.
    """
    accepted = await threads.run(_fetch_document, services, caller, body)
    services.work.doorbell.notify(JobKind.INGEST)
    return build_single_response(accepted.document.name, accepted)


def _fetch_document(services: Services, caller: Principal, body: UrlIn) -> AcceptedUpload:
    from ingest.sources.web_reader import open_url  # Loads parsers, which other routes do not need.

    readers = None if body.readers is None else check_readers(services, caller, body.readers)

    def build_request(name: str) -> UploadRequest:
        return UploadRequest(
            caller.tenant_id,
            body.collection,
            body.name or name,
            attributes={"url": body.url, **body.metadata},
            priority=PRIORITIES[body.priority],
            key_id=caller.key_id or "",
            owner=caller.owner,
            readers=readers,
            sender=caller.readers,
            collections=caller.collections,
        )

    # Permissions and quotas are checked before the request is sent.
    services.work.intake.require_upload_allowed(build_request("page"), 1)
    with open_source_context(services.settings, caller.tenant_id) as context, report_missing_packages():
        try:
            with (
                open_url(body.url, context) as opened,
                services.work.intake.receive_upload(build_request(opened.item.name)) as upload,
            ):
                for block in opened.blocks:
                    upload.write(block)
                return upload.accept()
        except ItemGoneError as error:
            raise ItemRefusedError(f"There is no page at {body.url}.", hint="Check the address.") from error
