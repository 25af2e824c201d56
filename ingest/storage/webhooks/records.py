"""Records of webhooks: a tenant's endpoints, the events that they receive, and the schedule of attempts.

Messages are signed according to the Standard Webhooks specification (https://www.standardwebhooks.com). The schedule of
attempts is the specification's example, and covers about three days.
"""

import base64
import secrets
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.storage.webhooks.destinations import Destinations

# Delays between attempts, in seconds, from the example schedule in the specification.
RETRY_SECONDS = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
# Time after a rotation during which messages are also signed with the previous secret.
ROTATION_SECONDS = 24 * 3600.0
MAX_WEBHOOKS = 50
_SECRET_BYTES = 32


class EventType(StrEnum):
    """The events that a webhook can receive."""

    DOCUMENT_READY = "document.ready"
    DOCUMENT_FAILED = "document.failed"
    DOCUMENT_DELETED = "document.deleted"
    RUN_PAUSED = "run.paused"  # The run's budget is exhausted, and the run waits for a user's decision.
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    FEEDBACK_GIVEN = "feedback.given"
    SOURCE_SYNCED = "source.synced"
    SOURCE_FAILED = "source.failed"  # A synchronization failed, or waits until somebody approves its removals.


# Event type of a test message, which an admin sends.
TEST_EVENT = "webhook.test"


class DeliveryState(StrEnum):
    """The states of a message: `pending`, then `delivered` if it is accepted, or `failed` if no attempts remain."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True)
class Webhook:
    """An endpoint that receives events.

    `failing_since` is the time at which the current series of failed attempts began. If `disabled_at` is set, the
    endpoint receives no messages; `disabled_reason` says why.
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
    """A message for a webhook, with its state.

    `status` is the HTTP status of the last response. `detail` says why the last attempt failed.
    """

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
    """A claimed message with everything needed to send it. `attempt` counts from 1 and is also the fencing token."""

    id: str
    webhook_id: str
    url: str
    body: str
    attempt: int
    secrets: tuple[str, ...]


@dataclass(frozen=True)
class DeliveryResult:
    """The result of an attempt: the response's HTTP status, or the reason why there was no response.

    `wait_seconds` is the delay that the receiver requested.
    """

    status: int | None
    detail: str = ""
    wait_seconds: float | None = None

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """True if the receiver wants no more messages."""
        return self.status == 410


def generate_secret() -> str:
    """Generate a secret in the specification's format."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


class WebhookSettings(BaseSettings):
    """Settings from environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    webhook_networks: str = Field(
        "",
        description="Private networks that webhooks may reach in addition to public addresses, for example "
        "`10.0.0.0/8, 127.0.0.1/32`. TLS is not required for these networks.",
    )
    webhook_ports: str = Field(
        "443, 8443", description="Comma-separated ports to which webhooks may be sent at public addresses."
    )
    webhook_disable_days: float = Field(
        5.0, gt=0, description="A webhook is disabled if all attempts have failed for this many days."
    )
    webhook_seconds: float = Field(15.0, gt=0, description="Timeout for the response of a webhook's receiver.")

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
