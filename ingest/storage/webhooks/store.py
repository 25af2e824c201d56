"""Management of webhooks by a tenant's admins: creating, changing and deleting them, and sending messages again."""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import lock_tenant, read_transaction, write_transaction
from ingest.storage.db.schema import webhook_deliveries as deliveries
from ingest.storage.db.schema import webhooks
from ingest.storage.errors import WebhookNotFoundError, WebhooksFullError
from ingest.storage.webhooks.outbox import build_message_row
from ingest.storage.webhooks.records import (
    MAX_WEBHOOKS,
    ROTATION_SECONDS,
    TEST_EVENT,
    Delivery,
    DeliveryState,
    EventType,
    Webhook,
    generate_secret,
)

_DISABLED_BY_ADMIN = "An admin disabled the webhook."


class Webhooks:
    """Webhooks of all tenants. Each method reads or changes the webhooks of one tenant in one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self, tenant_id: str, url: str, events: Sequence[EventType], *, description: str = ""
    ) -> tuple[Webhook, str]:
        """Create a webhook and return it with its secret. Raises `WebhooksFullError` if the limit is reached."""
        secret, identifier = generate_secret(), str(uuid.uuid4())
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            count = connection.execute(select(func.count()).where(webhooks.c.tenant_id == tenant_id)).scalar_one()
            if count >= MAX_WEBHOOKS:
                raise WebhooksFullError(f"The tenant already has {count} webhooks. The limit is {MAX_WEBHOOKS}.")
            connection.execute(
                insert(webhooks).values(
                    id=identifier,
                    tenant_id=tenant_id,
                    url=url,
                    events=[event.value for event in events],
                    description=description,
                    secret=secret,
                    created_at=time.time(),
                )
            )
            record_action(
                connection, Action.WEBHOOK_CREATED, f"webhook:{identifier}", tenant_id=tenant_id, events=[*events]
            )
            return _load_webhook(connection, tenant_id, identifier), secret

    def list_webhooks(self, tenant_id: str) -> list[Webhook]:
        """List all webhooks of a tenant, oldest first."""
        query = select(webhooks).where(webhooks.c.tenant_id == tenant_id)
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(webhooks.c.created_at, webhooks.c.id)).all()
        return [_build_webhook(row) for row in rows]

    def load_webhook(self, tenant_id: str, webhook_id: str) -> Webhook:
        """Load a webhook. Raises `WebhookNotFoundError` if it does not exist."""
        with read_transaction(self._engine) as connection:
            return _load_webhook(connection, tenant_id, webhook_id)

    def change(self, tenant_id: str, webhook_id: str, changes: Mapping[str, Any]) -> Webhook:
        """Change a webhook's `url`, `events`, `description` or `disabled`.

        When a webhook is enabled again, its pending messages are sent. Raises `WebhookNotFoundError` if the webhook
        does not exist.
        """
        values = {name: value for name, value in changes.items() if name != "disabled"}
        if "events" in values:
            values["events"] = [EventType(event).value for event in values["events"]]
        if changes.get("disabled") is True:
            values |= {"disabled_at": time.time(), "disabled_reason": _DISABLED_BY_ADMIN}
        elif changes.get("disabled") is False:
            values |= {"disabled_at": None, "disabled_reason": None, "failing_since": None}
        with write_transaction(self._engine) as connection:
            _load_webhook(connection, tenant_id, webhook_id)
            if values:
                connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(**values))
            changed = sorted(changes)
            record_action(
                connection, Action.WEBHOOK_CHANGED, f"webhook:{webhook_id}", tenant_id=tenant_id, changed=changed
            )
            return _load_webhook(connection, tenant_id, webhook_id)

    def rotate_secret(self, tenant_id: str, webhook_id: str) -> tuple[Webhook, str]:
        """Replace a webhook's secret. For a day, messages are signed with both the old and the new secret.

        Raises `WebhookNotFoundError` if the webhook does not exist.
        """
        secret = generate_secret()
        with write_transaction(self._engine) as connection:
            _load_webhook(connection, tenant_id, webhook_id)
            until = time.time() + ROTATION_SECONDS
            connection.execute(
                update(webhooks)
                .where(webhooks.c.id == webhook_id)
                .values(previous_secret=webhooks.c.secret, previous_until=until, secret=secret)
            )
            record_action(connection, Action.WEBHOOK_ROTATED, f"webhook:{webhook_id}", tenant_id=tenant_id)
            return _load_webhook(connection, tenant_id, webhook_id), secret

    def delete(self, tenant_id: str, webhook_id: str) -> None:
        """Delete a webhook and its messages. Raises `WebhookNotFoundError` if the webhook does not exist."""
        with write_transaction(self._engine) as connection:
            _load_webhook(connection, tenant_id, webhook_id)
            connection.execute(select(webhooks.c.id).where(webhooks.c.id == webhook_id).with_for_update()).all()
            connection.execute(delete(deliveries).where(deliveries.c.webhook_id == webhook_id))
            connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))
            record_action(connection, Action.WEBHOOK_DELETED, f"webhook:{webhook_id}", tenant_id=tenant_id)

    def list_deliveries(
        self,
        tenant_id: str,
        webhook_id: str,
        *,
        states: Sequence[DeliveryState] = (),
        before_sequence: int | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        """List a webhook's messages, newest first.

        If `before_sequence` is given, list only those with a lower `sequence`.

        Raises `WebhookNotFoundError` if the webhook does not exist.
        """
        query = select(deliveries).where(deliveries.c.webhook_id == webhook_id, deliveries.c.tenant_id == tenant_id)
        if states:
            query = query.where(deliveries.c.state.in_([state.value for state in states]))
        if before_sequence is not None:
            query = query.where(deliveries.c.sequence < before_sequence)
        with read_transaction(self._engine) as connection:
            _load_webhook(connection, tenant_id, webhook_id)
            rows = connection.execute(query.order_by(deliveries.c.sequence.desc()).limit(limit)).all()
        return [_build_delivery(row) for row in rows]

    def resend_message(self, tenant_id: str, webhook_id: str, message_id: str) -> Delivery:
        """Send a message again, regardless of its state, with the same id and a new series of attempts.

        Raises `WebhookNotFoundError` if the webhook or the message does not exist.
        """
        this = (
            deliveries.c.id == message_id,
            deliveries.c.webhook_id == webhook_id,
            deliveries.c.tenant_id == tenant_id,
        )
        again = {"state": DeliveryState.PENDING.value, "attempts": 0, "not_before": 0.0, "lease_until": None}
        with write_transaction(self._engine) as connection:
            _load_webhook(connection, tenant_id, webhook_id)
            connection.execute(update(deliveries).where(*this).values(**again))
            row = connection.execute(select(deliveries).where(*this)).first()
            if row is None:
                raise WebhookNotFoundError(f"Message {message_id!r} of this webhook not found.")
            return _build_delivery(row)

    def send_test_message(self, tenant_id: str, webhook_id: str) -> Delivery:
        """Send a test message to a webhook. Raises `WebhookNotFoundError` if the webhook does not exist."""
        with write_transaction(self._engine) as connection:
            _load_webhook(connection, tenant_id, webhook_id)
            row = build_message_row(
                tenant_id, webhook_id, TEST_EVENT, {"webhook": webhook_id}, key=f"{TEST_EVENT}:{uuid.uuid4()}"
            )
            connection.execute(insert(deliveries).values(**row))
            return _build_delivery(connection.execute(select(deliveries).where(deliveries.c.id == row["id"])).one())


def _load_webhook(connection: Connection, tenant_id: str, webhook_id: str) -> Webhook:
    query = select(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.tenant_id == tenant_id)
    row = connection.execute(query).first()
    if row is None:
        raise WebhookNotFoundError(f"Webhook {webhook_id!r} not found.")
    return _build_webhook(row)


def _build_webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        row.id,
        row.tenant_id,
        row.url,
        tuple(EventType(event) for event in row.events),
        row.description,
        row.created_at,
        row.failing_since,
        row.disabled_at,
        row.disabled_reason,
    )


def _build_delivery(row: Row[Any]) -> Delivery:
    state = DeliveryState(row.state)
    return Delivery(
        row.id,
        row.sequence,
        row.webhook_id,
        row.type,
        row.body,
        state,
        row.attempts,
        row.status,
        row.detail,
        row.created_at,
        row.attempted_at,
        max(row.not_before, row.created_at) if state is DeliveryState.PENDING else None,
    )
