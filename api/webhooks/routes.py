"""`/v1/webhooks`: an admin manages webhooks for document and run events, and their deliveries."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.admission.access import Admin, ServicesDep
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
def create_webhook(body: WebhookIn, caller: Admin, services: ServicesDep, response: Response) -> NewWebhookOut:
    """Create a webhook. Its messages are signed according to Standard Webhooks.

    The response contains the `secret`, which is never shown again. `422` if the address is not public, unless the
    operator of the service allows private networks. Messages contain ids and codes, but never text from documents.
    """
    _require_public_url(services, body.url)
    made = services.events.webhooks.create(caller.tenant_id, body.url, body.events, description=body.description)
    response.headers["Location"] = f"/v1/webhooks/{made[0].id}"
    return NewWebhookOut.from_webhook(made)


@router.get("")
def list_webhooks(caller: Admin, services: ServicesDep) -> WebhookList:
    """List the tenant's webhooks without their secrets, oldest first."""
    return WebhookList(
        webhooks=[WebhookOut.from_records(each) for each in services.events.webhooks.list_webhooks(caller.tenant_id)]
    )


@router.get("/{webhook_id}")
def get_webhook(webhook_id: str, caller: Admin, services: ServicesDep) -> WebhookOut:
    """Show a webhook without its secret."""
    return WebhookOut.from_records(services.events.webhooks.load_webhook(caller.tenant_id, webhook_id))


@router.patch("/{webhook_id}")
def change_webhook(webhook_id: str, body: WebhookChange, caller: Admin, services: ServicesDep) -> WebhookOut:
    """Change a webhook's address, events or description, or disable or enable it.

    Messages that were pending when the webhook was disabled are sent once it is enabled again.
    """
    given = ((name, getattr(body, name)) for name in body.model_fields_set)
    changes: dict[str, Any] = {name: value for name, value in given if value is not None}
    if "url" in changes:
        _require_public_url(services, changes["url"])
    return WebhookOut.from_records(services.events.webhooks.change(caller.tenant_id, webhook_id, changes))


@router.delete("/{webhook_id}", status_code=204)
def delete_webhook(webhook_id: str, caller: Admin, services: ServicesDep) -> None:
    """Delete a webhook and its messages. Pending messages are not sent."""
    services.events.webhooks.delete(caller.tenant_id, webhook_id)


@router.post("/{webhook_id}/rotate", status_code=201)
def rotate_webhook_secret(webhook_id: str, caller: Admin, services: ServicesDep) -> NewWebhookOut:
    """Replace a webhook's secret. For a day, messages are signed with both the new secret and the old one."""
    return NewWebhookOut.from_webhook(services.events.webhooks.rotate_secret(caller.tenant_id, webhook_id))


@router.post("/{webhook_id}/test", status_code=202)
def test_webhook(webhook_id: str, caller: Admin, services: ServicesDep) -> DeliveryOut:
    """Send a test message of type `webhook.test`. The list of deliveries shows whether it was delivered."""
    return DeliveryOut.from_delivery(services.events.webhooks.send_test_message(caller.tenant_id, webhook_id))


@router.get("/{webhook_id}/deliveries")
def list_webhook_deliveries(
    webhook_id: str,
    caller: Admin,
    services: ServicesDep,
    state: Annotated[list[DeliveryState] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> DeliveryPage:
    """List the messages to a webhook, newest first, with the result of the last attempt. Paginated."""
    before = decode_cursor(cursor) if cursor else None
    found = services.events.webhooks.list_deliveries(
        caller.tenant_id, webhook_id, states=state or (), before_sequence=before, limit=limit + 1
    )
    page = found[:limit]
    more = encode_cursor(page[-1].sequence) if len(found) > limit else None
    return DeliveryPage(deliveries=[DeliveryOut.from_delivery(each) for each in page], next_cursor=more)


@router.post("/{webhook_id}/deliveries/{delivery_id}/replay", status_code=202)
def replay_webhook_delivery(webhook_id: str, delivery_id: str, caller: Admin, services: ServicesDep) -> DeliveryOut:
    """Send a message again with the same id, regardless of its state."""
    return DeliveryOut.from_delivery(services.events.webhooks.resend_message(caller.tenant_id, webhook_id, delivery_id))


def _require_public_url(services: Services, url: str) -> None:
    settings = services.settings
    Destinations.parse(settings.webhook_networks, settings.webhook_ports).check_url(url)
