"""Webhooks: what a tenant's own programs are told of, where, and how often it is tried.

Messages are signed as the Standard Webhooks specification says (https://www.standardwebhooks.com), whose schedule of
tries is taken too: about three days in all.
"""

import base64
import secrets
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.storage.webhooks.destinations import Destinations

# Seconds from one try to the next: the example schedule of the specification.
RETRY_SECONDS = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
# For so long messages are signed with the secret before the last rotation too.
ROTATION_SECONDS = 24 * 3600.0
MAX_WEBHOOKS = 50
_SECRET_BYTES = 32


class EventType(StrEnum):
    """What a webhook may be told of."""

    DOCUMENT_READY = "document.ready"
    DOCUMENT_FAILED = "document.failed"
    DOCUMENT_DELETED = "document.deleted"
    RUN_PAUSED = "run.paused"  # its budget is met, and it waits for a person
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    FEEDBACK_GIVEN = "feedback.given"


# The type of a message that an admin has sent to see whether it arrives.
TEST_EVENT = "webhook.test"


class DeliveryState(StrEnum):
    """A message is `pending` until it was taken (`delivered`) or its tries are used up (`failed`)."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True)
class Webhook:
    """An address that is told of events. `failing_since` is when the first of its tries failed that all failed since.

    One with `disabled_at` is told nothing, for the reason that is given.
    """

    id: str
    tenant_id: str
    url: str
    events: tuple[EventType, ...]
    description: str
    created_at: float
    failing_since: float | None
    disabled_at: float | None
    disabled_reason: str | None


@dataclass(frozen=True)
class Delivery:
    """A message for a webhook, and what became of it. `status` is that of the last reply, `detail` why it failed."""

    id: str
    sequence: int
    webhook_id: str
    type: str
    body: str
    state: DeliveryState
    attempts: int
    status: int | None
    detail: str | None
    created_at: float
    attempted_at: float | None
    next_at: float | None


@dataclass(frozen=True)
class DueDelivery:
    """A claimed message with all that sending it takes. `attempt` counts from 1 and is its fence."""

    id: str
    webhook_id: str
    url: str
    body: str
    attempt: int
    secrets: tuple[str, ...]


@dataclass(frozen=True)
class DeliveryResult:
    """The end of a try: the reply's status, or why there was none. `wait_seconds` is what the reply asked for."""

    status: int | None
    detail: str = ""
    wait_seconds: float | None = None

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """True if the receiver says that it wants no more messages."""
        return self.status == 410


def generate_secret() -> str:
    """Return a secret in the specification's form."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


class WebhookSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    webhook_networks: str = Field(
        "",
        description="Private networks that webhooks may reach, besides public addresses: `10.0.0.0/8, 127.0.0.1/32`. "
        "To these also without TLS.",
    )
    webhook_ports: str = Field(
        "443, 8443", description="Ports of public addresses that webhooks may be sent to, with commas between them."
    )
    webhook_disable_days: float = Field(
        5.0, gt=0, description="A webhook of which every try failed for so many days is disabled."
    )
    webhook_seconds: float = Field(15.0, gt=0, description="How long a webhook's receiver may take to answer.")

    @field_validator("webhook_networks")
    @classmethod
    def _check_networks(cls, value: str) -> str:
        Destinations.parse(value)
        return value

    @field_validator("webhook_ports")
    @classmethod
    def _check_ports(cls, value: str) -> str:
        Destinations.parse("", value)
        return value
