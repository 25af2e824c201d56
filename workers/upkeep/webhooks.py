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
from ingest.storage.webhooks.destinations import Destination, Destinations
from ingest.storage.webhooks.outbox import Outbox
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
        # No connection is kept alive, because a connection opened for one host name must not be reused for another name
        # at the same address. A proxy from the environment or a redirect could lead to an unchecked address, so the
        # client uses neither.
        alone = httpx.Limits(max_keepalive_connections=0)
        # guard: webhook-no-proxy
        # guard: webhook-no-redirect
        async with httpx.AsyncClient(verify=self._tls, limits=alone, trust_env=False, follow_redirects=False) as http:
            await asyncio.gather(*(self._send_message(http, due) for due in deliveries))

    async def _send_message(self, http: httpx.AsyncClient, delivery: DueDelivery) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                outcome = await self._try_addresses(http, delivery)
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

    async def _try_addresses(self, http: httpx.AsyncClient, delivery: DueDelivery) -> DeliveryResult:
        destination, addresses = await self._destinations.resolve(delivery.url)
        for address in addresses[:-1]:
            try:
                return await self._post_message(http, delivery, destination, destination.build_url(address))
            except httpx.ConnectError:
                continue
        # guard: webhook-checked-address
        return await self._post_message(http, delivery, destination, destination.build_url(addresses[-1]))

    async def _post_message(
        self, http: httpx.AsyncClient, delivery: DueDelivery, destination: Destination, url: str
    ) -> DeliveryResult:
        moment = datetime.now(UTC)
        signatures = (Signer(secret).sign(delivery.id, moment, delivery.body) for secret in delivery.secrets)
        headers = {
            "Host": destination.host_header,
            "Content-Type": "application/json",
            "User-Agent": "Leadline",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        named = {"sni_hostname": destination.host} if destination.scheme == "https" else {}
        request = http.build_request("POST", url, content=delivery.body.encode(), headers=headers, extensions=named)
        response = await http.send(request, stream=True)  # the body of the response is not needed
        await response.aclose()
        return _build_delivery_result(response)


def _build_delivery_result(response: httpx.Response) -> DeliveryResult:
    after = response.headers.get("retry-after", "")
    wait_seconds = float(after) if after.isdecimal() and len(after) < 10 else None
    detail = ""
    if response.is_redirect:
        detail = "The server responded with a redirect, which is not followed. Change the webhook's address."
    return DeliveryResult(response.status_code, detail, wait_seconds)
