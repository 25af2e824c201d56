"""Sends the webhook messages in the outbox: signed, to checked addresses, and with retries until they are accepted."""

import asyncio
import ssl
from datetime import UTC, datetime
from functools import cached_property

import httpx
import structlog
from standardwebhooks import Webhook as Signer

from ingest.storage.errors import DestinationRejectedError
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.webhooks.destinations import Destinations
from ingest.storage.webhooks.outbox import Outbox
from ingest.storage.webhooks.pinned_http import open_client, send_request
from ingest.storage.webhooks.records import DeliveryResult, DueDelivery, WebhookSettings

log = structlog.get_logger(__name__)

# Extra time, after the time limit of the receiver, for recording the result of an attempt.
_LEASE_SECONDS = 30.0


class WebhookSender:
    """Sends due messages concurrently. Several senders may run at the same time."""

    def __init__(self, outbox: Outbox, settings: WebhookSettings, *, tls: ssl.SSLContext | None = None) -> None:
        self._outbox = outbox
        self._destinations = Destinations.parse(settings.webhook_networks, settings.webhook_ports)
        self._seconds = settings.webhook_seconds
        self._trusting = tls
        self._disable_days = settings.webhook_disable_days

    def send_due_messages(self) -> bool:
        """Try to send some of the due messages. Return whether any messages were due."""
        claimed = self._outbox.claim_due_messages(lease_seconds=self._seconds + _LEASE_SECONDS)
        reach_fault_point("webhooks.claimed")
        if claimed:
            asyncio.run(self._send_messages(claimed))
        return bool(claimed)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._trusting or httpx.create_ssl_context()

    async def _send_messages(self, deliveries: list[DueDelivery]) -> None:
        async with open_client(self._tls) as http:
            await asyncio.gather(*(self._send_message(http, due) for due in deliveries))

    async def _send_message(self, http: httpx.AsyncClient, delivery: DueDelivery) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                outcome = await self._post_message(http, delivery)
        except TimeoutError:
            outcome = DeliveryResult(None, f"The server did not respond within {self._seconds:g} seconds.")
        except DestinationRejectedError as error:
            outcome = DeliveryResult(None, str(error))
        except httpx.HTTPError as error:
            outcome = DeliveryResult(None, f"No response received: {error!r}.")
        reach_fault_point("webhooks.sent")
        await asyncio.to_thread(self._outbox.record_result, delivery, outcome, disable_days=self._disable_days)
        log.info(
            "webhook attempt finished",
            webhook=delivery.webhook_id,
            message=delivery.id,
            attempt=delivery.attempt,
            status=outcome.status,
        )

    async def _post_message(self, http: httpx.AsyncClient, delivery: DueDelivery) -> DeliveryResult:
        moment = datetime.now(UTC)
        signatures = (Signer(secret).sign(delivery.id, moment, delivery.body) for secret in delivery.secrets)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        body = delivery.body.encode()
        response = await send_request(http, self._destinations, "POST", delivery.url, headers, body)
        await response.aclose()  # the body of the response is not needed
        return _build_delivery_result(response)


def _build_delivery_result(response: httpx.Response) -> DeliveryResult:
    after = response.headers.get("retry-after", "")
    wait_seconds = float(after) if after.isdecimal() and len(after) < 10 else None
    detail = ""
    if response.is_redirect:
        detail = "The server responded with a redirect, which is not followed. Change the webhook's address."
    return DeliveryResult(response.status_code, detail, wait_seconds)
