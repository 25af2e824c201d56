"""`/v1/documents`: cards of documents, and the facets of listings."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from api.admission.access import Caller, ServicesDep, Writer
from api.admission.idempotency import build_etag_headers, parse_if_match
from api.documents.card_schemas import CardChangeIn, CardOut, FacetsOut
from api.documents.listing_routes import require_visible_batch, require_writable_document
from api.documents.listing_schemas import parse_document_filter
from api.http.problems import BadRequestError
from ingest.storage.documents.cards.records import FACETED_FIELDS, CardField
from ingest.storage.documents.listing import DocumentFilter

router = APIRouter(prefix="/v1/documents", tags=["documents"])

_DEFAULT_NAMES = "kind,subjects,periods,language"


@router.get("/facets")
def list_document_facets(
    caller: Caller,
    services: ServicesDep,
    wanted: Annotated[DocumentFilter, Depends(parse_document_filter)],
    names: Annotated[str, Query(max_length=200)] = _DEFAULT_NAMES,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> FacetsOut:
    """Count the documents of a listing by the values on their cards.

    `names` are fields of cards, separated by commas: `kind`, `subjects`, `periods`, `dates`, `version` and `language`.
    `limit` is the maximum number of values of each field. The other parameters filter the documents as in `GET
    /v1/documents`. To show further values of a field that is filtered, leave its filter out.
    """
    require_visible_batch(services, caller, wanted)
    counts = services.contents.cards.count_facets(
        caller.tenant_id, wanted, caller.readers, _parse_names(names), limit=limit
    )
    return FacetsOut.from_counts(counts)


@router.patch("/{document_id}/card")
def change_document_card(
    document_id: str,
    body: CardChangeIn,
    caller: Writer,
    services: ServicesDep,
    response: Response,
    if_match: Annotated[str | None, Header()] = None,
) -> CardOut:
    """Change the fields of a document's card.

    The body is a JSON merge patch: null removes the value that a person set, so that the value found in the document
    applies again. An empty string or list says that the document has none. `title` is the document's title. Changes
    outlast new versions of the document, and apply to searches, filters and facets immediately. Send the document's
    `ETag` as `If-Match`. The response is `428` without `If-Match`, and `412` if the document has changed since. The
    change creates a new `ETag`.
    """
    admitted = parse_if_match(if_match)
    # guard: card-writable
    require_writable_document(services, caller, document_id)
    card = services.contents.cards.change_card(
        caller.tenant_id, document_id, body.to_change(), if_match=admitted, caller=caller
    )
    response.headers.update(build_etag_headers(card))
    return CardOut.from_card(card)


def _parse_names(names: str) -> list[CardField]:
    found = list(dict.fromkeys(filter(None, map(str.strip, names.split(",")))))
    unknown = [name for name in found if name not in FACETED_FIELDS]
    if unknown or not found:
        wrong = f"Documents cannot be counted by {unknown[0][:100]!r}." if unknown else "`names` is empty."
        raise BadRequestError(wrong, hint=f"Use some of these names: {','.join(FACETED_FIELDS)}.")
    return list(map(CardField, found))
