"""The outbox of webhook messages: they are written with the change that they report, and then claimed by senders.

A message is written in the transaction of the change, so it is sent if and only if the change was committed. A sender
holds a lease. If the sender dies, another one sends the message again with the same id.
"""

import random
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, or_, select, update

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import build_clock_expression, build_upsert, format_json, read_clock, write_transaction
from ingest.storage.db.schema import webhook_deliveries as deliveries
from ingest.storage.db.schema import webhooks
from ingest.storage.webhooks.records import RETRY_SECONDS, DeliveryResult, DeliveryState, DueDelivery, EventType

# Jitter as a fraction of the delay. Jitter spreads out retries of many messages to the same address.
_JITTER = 0.1
_DAY_SECONDS = 24 * 3600.0
_DETAIL_CHARS = 300


def publish_event(
    connection: Connection, tenant_id: str, event: EventType, subjects: Sequence[dict[str, Any]], *, change: str = ""
) -> None:
    """Write one message per subject for each of the tenant's webhooks that subscribe to the event.

    A subject is the `data` of a message and consists of ids and codes. Its first value identifies the object that the
    message is about. A webhook gets only one message for each combination of event, object and `change`.
    """
    if not subjects:
        return
    rows = connection.execute(
        select(webhooks.c.id, webhooks.c.events)
        .where(webhooks.c.tenant_id == tenant_id, webhooks.c.disabled_at.is_(None))
        # The webhooks are locked, so that none of them is deleted before its messages are written.
        .with_for_update(read=True, key_share=True)
    ).all()
    wanting = [row.id for row in rows if event in row.events]
    new = build_upsert(connection, deliveries).on_conflict_do_nothing()
    values = [
        # guard: webhook-event-once
        build_message_row(tenant_id, webhook, event, subject, key=f"{event}:{next(iter(subject.values()))}{change}")
        for subject in subjects
        for webhook in wanting
    ]
    if values:
        connection.execute(new, values)


def build_message_row(
    tenant_id: str, webhook_id: str, event_type: str, data: dict[str, Any], *, key: str
) -> dict[str, Any]:
    """Build the row of a message to be sent immediately."""
    moment = time.time()
    body = {"type": event_type, "timestamp": datetime.fromtimestamp(moment, UTC).isoformat(), "data": data}
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "tenant_id": tenant_id,
        "webhook_id": webhook_id,
        "key": key,
        "type": event_type,
        "body": format_json(body),
        "state": DeliveryState.PENDING.value,
        "attempts": 0,
        "not_before": 0.0,
        "created_at": moment,
    }


class Outbox:
    """The messages to be sent. Any number of senders may work concurrently."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim_due_messages(
        self, *, lease_seconds: float, limit_per_webhook: int = 4, limit: int = 32
    ) -> list[DueDelivery]:
        """Lease up to `limit` due messages, but at most `limit_per_webhook` of one webhook.

        Therefore slow receivers do not delay others.
        """
        with write_transaction(self._engine) as connection:
            moment = build_clock_expression(connection)
            due = (
                deliveries.c.state == DeliveryState.PENDING.value,
                deliveries.c.not_before <= moment,
                # guard: webhook-one-sender
                or_(deliveries.c.lease_until.is_(None), deliveries.c.lease_until < moment),
            )
            chosen: list[int] = []
            enabled = select(webhooks.c.id).where(webhooks.c.disabled_at.is_(None))
            waiting = select(deliveries.c.webhook_id).where(*due, deliveries.c.webhook_id.in_(enabled)).distinct()
            for webhook in connection.execute(waiting).scalars().all():
                query = select(deliveries.c.sequence).where(*due, deliveries.c.webhook_id == webhook)
                chosen += connection.execute(query.order_by(deliveries.c.sequence).limit(limit_per_webhook)).scalars()
            # Otherwise, if there are too many webhooks, the same webhooks would always be left out.
            random.shuffle(chosen)
            taken = connection.execute(
                update(deliveries)
                .where(deliveries.c.sequence.in_(chosen[:limit]), *due)
                .values(lease_until=moment + lease_seconds, attempts=deliveries.c.attempts + 1)
                .returning(deliveries.c.id)
            ).scalars()
            return _load_due_messages(connection, list(taken))

    def record_result(self, delivery: DueDelivery, outcome: DeliveryResult, *, disable_days: float) -> None:
        """Record the result of an attempt, and schedule the next one if it failed.

        A webhook that has been failing for `disable_days` is disabled.
        """
        with write_transaction(self._engine) as connection:
            moment = read_clock(connection)
            pause = None if outcome.is_delivered else _compute_retry_delay(delivery.attempt, outcome)
            state = DeliveryState.DELIVERED if outcome.is_delivered else DeliveryState.PENDING
            if not outcome.is_delivered and pause is None:
                state = DeliveryState.FAILED
            settled = connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.id == delivery.id,
                    deliveries.c.attempts == delivery.attempt,
                    deliveries.c.state == DeliveryState.PENDING.value,
                )
                .values(
                    state=state.value,
                    lease_until=None,
                    not_before=moment + (pause or 0.0),
                    status=outcome.status,
                    detail=outcome.detail[:_DETAIL_CHARS] or None,
                    attempted_at=moment,
                )
            ).rowcount
            if settled:
                _update_webhook_health(connection, delivery.webhook_id, outcome, moment, disable_days * _DAY_SECONDS)


def _update_webhook_health(
    connection: Connection, webhook_id: str, outcome: DeliveryResult, moment: float, disable_seconds: float
) -> None:
    """Record whether a webhook is failing, and since when.

    The webhook is disabled if it has been failing for too long, or immediately if the receiver responds with 410.
    """
    this = webhooks.c.id == webhook_id
    if outcome.is_delivered:
        failing = this, webhooks.c.failing_since.is_not(None)
        connection.execute(update(webhooks).where(*failing).values(failing_since=None))
        return
    row = connection.execute(select(webhooks).where(this).with_for_update()).first()
    if row is None or row.disabled_at is not None:
        return
    since = moment if row.failing_since is None else row.failing_since
    values: dict[str, Any] = {"failing_since": since}
    if outcome.is_gone or moment - since >= disable_seconds:
        values |= {
            "disabled_at": moment,
            "disabled_reason": _format_disable_reason(outcome, (moment - since) / _DAY_SECONDS),
        }
        subject = f"webhook:{webhook_id}"
        record_action(connection, Action.WEBHOOK_DISABLED, subject, tenant_id=row.tenant_id, status=outcome.status)
    connection.execute(update(webhooks).where(this).values(**values))


def _format_disable_reason(outcome: DeliveryResult, days: float) -> str:
    if outcome.is_gone:
        return "The webhook's server responded with 410, which means that it wants no more messages."
    last = f"the last response was {outcome.status}." if outcome.status else f"last error: {outcome.detail}"
    return f"No message was delivered for {days:.1f} days; {last}"


def _load_due_messages(connection: Connection, message_ids: Sequence[str]) -> list[DueDelivery]:
    """Load claimed messages with the URLs and secrets of their webhooks."""
    query = (
        select(deliveries, webhooks.c.url, webhooks.c.secret, webhooks.c.previous_secret, webhooks.c.previous_until)
        .join(webhooks, webhooks.c.id == deliveries.c.webhook_id)
        .where(deliveries.c.id.in_(message_ids))
    )
    moment = time.time()
    found = []
    for row in connection.execute(query).all():
        old = row.previous_secret is not None and (row.previous_until or 0.0) > moment
        secrets = (row.secret, row.previous_secret) if old else (row.secret,)
        found.append(DueDelivery(row.id, row.webhook_id, row.url, row.body, row.attempts, secrets))
    return found


def _compute_retry_delay(attempt: int, outcome: DeliveryResult) -> float | None:
    """Compute the delay until the next attempt in seconds. Returns None after the last attempt."""
    if attempt > len(RETRY_SECONDS):
        return None
    usual = RETRY_SECONDS[attempt - 1] * random.uniform(1.0, 1.0 + _JITTER)
    return max(usual, min(outcome.wait_seconds or 0.0, RETRY_SECONDS[-1]))
