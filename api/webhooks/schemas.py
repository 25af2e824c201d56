"""Wire models for webhooks."""

import json
from typing import Any, Self

from pydantic import Field

from api.http.wire import Instant, Wire
from ingest.storage.webhooks.records import Delivery, DeliveryState, EventType, Webhook

_URL_CHARS = 2_000


class WebhookIn(Wire):
    """A new webhook. Events are sent to its address, which must be public and use https."""

    url: str = Field(min_length=1, max_length=_URL_CHARS, examples=["https://example.org/leadline"])
    events: list[EventType] = Field(min_length=1, max_length=20)
    description: str = Field("", max_length=200)


class WebhookChange(Wire):
    """Changes to a webhook. Omitted fields do not change. A disabled webhook receives no messages."""

    url: str | None = Field(None, min_length=1, max_length=_URL_CHARS)
    events: list[EventType] | None = Field(None, min_length=1, max_length=20)
    description: str | None = Field(None, max_length=200)
    disabled: bool | None = None


class WebhookOut(Wire):
    """A webhook.

    `failing_since` is set while deliveries fail. If `disabled_at` is set, the webhook receives no messages;
    `disabled_reason` says why.
    """

    id: str
    url: str
    events: list[EventType]
    description: str
    created_at: Instant
    failing_since: Instant | None
    disabled_at: Instant | None
    disabled_reason: str | None


class NewWebhookOut(WebhookOut):
    """A webhook, including the secret that signs its messages. The secret is never shown again."""

    secret: str

    @classmethod
    def from_webhook(cls, webhook_and_secret: tuple[Webhook, str]) -> Self:
        return cls.from_records(webhook_and_secret[0], secret=webhook_and_secret[1])


class WebhookList(Wire):
    """All webhooks of the tenant, oldest first. A tenant can have at most 50."""

    webhooks: list[WebhookOut]


class DeliveryOut(Wire):
    """A message (`payload`) and its delivery.

    `status` is the HTTP status of the last response, or null if there was none. `detail` is the reason why the message
    does not count as delivered. `next_at` is the time of the next attempt of a `pending` delivery.
    """

    id: str
    type: str
    state: DeliveryState
    payload: dict[str, Any]
    attempts: int
    status: int | None
    detail: str | None
    created_at: Instant
    attempted_at: Instant | None
    next_at: Instant | None

    @classmethod
    def from_delivery(cls, delivery: Delivery) -> Self:
        return cls.from_records(delivery, payload=json.loads(delivery.body))


class DeliveryPage(Wire):
    """A page of messages, newest first; `next_cursor` is null on the last page."""

    deliveries: list[DeliveryOut]
    next_cursor: str | None
