"""`/v1/webhooks`: an admin names addresses that are told of documents and runs, and sees what arrived."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.admission.access import Admin, Served
from api.admission.services import Services
from api.http.cursors import decode_cursor, encode_cursor
from api.webhooks.schemas import (
    DeliveryOut,
    DeliveryPage,
    NewWebhookOut,
    WebhookChange,
    WebhookIn,
    WebhookList,
    WebhookOut,
)
from ingest.storage.webhooks.destinations import Destinations
from ingest.storage.webhooks.records import DeliveryState

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@router.post("", status_code=201)
def create(body: WebhookIn, caller: Admin, served: Served, response: Response) -> NewWebhookOut:
    """Have an address told of events, by messages that are signed as Standard Webhooks says.

    The `secret` is in this answer and is never shown again. `422` for an address that is not public: those who run the
    service can allow private networks. Messages have ids and codes, and no text of any document.
    """
    _require_reachable(served, body.url)
    made = served.events.webhooks.create(caller.tenant_id, body.url, body.events, description=body.description)
    response.headers["Location"] = f"/v1/webhooks/{made[0].id}"
    return NewWebhookOut.from_webhook(made)


@router.get("")
def listing(caller: Admin, served: Served) -> WebhookList:
    """List the tenant's webhooks without their secrets, oldest first."""
    return WebhookList(
        webhooks=[WebhookOut.from_records(each) for each in served.events.webhooks.list_webhooks(caller.tenant_id)]
    )


@router.get("/{webhook_id}")
def one(webhook_id: str, caller: Admin, served: Served) -> WebhookOut:
    """Show a webhook without its secret."""
    return WebhookOut.from_records(served.events.webhooks.load_webhook(caller.tenant_id, webhook_id))


@router.patch("/{webhook_id}")
def change(webhook_id: str, body: WebhookChange, caller: Admin, served: Served) -> WebhookOut:
    """Change the address, the events or the description; disable it, or enable it again.

    What was written for it before it was disabled is sent when it is enabled.
    """
    given = ((name, getattr(body, name)) for name in body.model_fields_set)
    changes: dict[str, Any] = {name: value for name, value in given if value is not None}
    if "url" in changes:
        _require_reachable(served, changes["url"])
    return WebhookOut.from_records(served.events.webhooks.change(caller.tenant_id, webhook_id, changes))


@router.delete("/{webhook_id}", status_code=204)
def delete(webhook_id: str, caller: Admin, served: Served) -> None:
    """Delete a webhook with its messages; those that were not sent are not sent."""
    served.events.webhooks.delete(caller.tenant_id, webhook_id)


@router.post("/{webhook_id}/rotate", status_code=201)
def rotate(webhook_id: str, caller: Admin, served: Served) -> NewWebhookOut:
    """Give a webhook another secret; for a day messages are signed with the old one too."""
    return NewWebhookOut.from_webhook(served.events.webhooks.rotate_secret(caller.tenant_id, webhook_id))


@router.post("/{webhook_id}/test", status_code=202)
def test(webhook_id: str, caller: Admin, served: Served) -> DeliveryOut:
    """Send a message of the type `webhook.test`; the listing of deliveries says whether it arrived."""
    return DeliveryOut.from_delivery(served.events.webhooks.send_test(caller.tenant_id, webhook_id))


@router.get("/{webhook_id}/deliveries")
def deliveries(
    webhook_id: str,
    caller: Admin,
    served: Served,
    state: Annotated[list[DeliveryState] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> DeliveryPage:
    """List the messages to a webhook, newest first, a page at a time, with what the last try came to."""
    before = decode_cursor(cursor) if cursor else None
    found = served.events.webhooks.list_deliveries(
        caller.tenant_id, webhook_id, states=state or (), before=before, limit=limit + 1
    )
    page = found[:limit]
    more = encode_cursor(page[-1].sequence) if len(found) > limit else None
    return DeliveryPage(deliveries=[DeliveryOut.from_delivery(each) for each in page], next_cursor=more)


@router.post("/{webhook_id}/deliveries/{delivery_id}/replay", status_code=202)
def replay(webhook_id: str, delivery_id: str, caller: Admin, served: Served) -> DeliveryOut:
    """Send a message again, with the same id, whatever became of it."""
    return DeliveryOut.from_delivery(served.events.webhooks.replay(caller.tenant_id, webhook_id, delivery_id))


def _require_reachable(served: Services, url: str) -> None:
    settings = served.settings
    Destinations.parse(settings.webhook_networks, settings.webhook_ports).check_url(url)
