"""Webhooks on the wire."""

import json
from datetime import datetime
from typing import Any

from pydantic import Field

from api.http.wire import Wire, instant
from ingest.storage.webhooks.records import Delivery, DeliveryState, EventType, Webhook

_URL_CHARS = 2_000


class WebhookIn(Wire):
    """An address to be told of events: public, and https."""

    url: str = Field(min_length=1, max_length=_URL_CHARS, examples=["https://example.org/leadline"])
    events: list[EventType] = Field(min_length=1, max_length=20)
    description: str = Field("", max_length=200)


class WebhookChange(Wire):
    """Changes of a webhook; what is left out stays. A disabled one is told nothing."""

    url: str | None = Field(None, min_length=1, max_length=_URL_CHARS)
    events: list[EventType] | None = Field(None, min_length=1, max_length=20)
    description: str | None = Field(None, max_length=200)
    disabled: bool | None = None


class WebhookOut(Wire):
    """An address that is told of events.

    `failing_since` is set while nothing arrives. One that is `disabled_at` is told nothing, for `disabled_reason`.
    """

    id: str
    url: str
    events: list[EventType]
    description: str
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookOut":
        return cls(**_members(webhook))


class NewWebhookOut(WebhookOut):
    """A webhook with the secret that its messages are signed with, which is never shown again."""

    secret: str

    @classmethod
    def issued(cls, made: tuple[Webhook, str]) -> "NewWebhookOut":
        webhook, secret = made
        return cls(**_members(webhook), secret=secret)


class WebhookList(Wire):
    """All webhooks of the tenant, oldest first; there are 50 at most."""

    webhooks: list[WebhookOut]


class DeliveryOut(Wire):
    """A message, `payload`, and what became of it.

    `status` is that of the last reply, null where none came, and `detail` says why it did not count. `next_at` is when
    a `pending` one is tried next.
    """

    id: str
    type: str
    state: DeliveryState
    payload: dict[str, Any]
    attempts: int
    status: int | None
    detail: str | None
    created_at: datetime
    attempted_at: datetime | None
    next_at: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryOut":
        return cls(
            id=delivery.id,
            type=delivery.type,
            state=delivery.state,
            payload=json.loads(delivery.body),
            attempts=delivery.attempts,
            status=delivery.status,
            detail=delivery.detail,
            created_at=instant(delivery.created_at),
            attempted_at=delivery.attempted_at and instant(delivery.attempted_at),
            next_at=delivery.next_at and instant(delivery.next_at),
        )


class DeliveryPage(Wire):
    """A page of messages, newest first; `next_cursor` is None on the last one."""

    deliveries: list[DeliveryOut]
    next_cursor: str | None


def _members(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": list(webhook.events),
        "description": webhook.description,
        "created_at": instant(webhook.created_at),
        "failing_since": webhook.failing_since and instant(webhook.failing_since),
        "disabled_at": webhook.disabled_at and instant(webhook.disabled_at),
        "disabled_reason": webhook.disabled_reason,
    }
