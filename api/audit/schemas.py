"""The audit log on the wire."""

from typing import Any, Self

from pydantic import Field

from api.http.wire import Instant, Wire
from ingest.storage.audit.records import ActorKind, ChainVerification


class ActorOut(Wire):
    """Who acted: a caller with a key or a user, somebody at the command line, or the service by itself."""

    kind: ActorKind
    key: str | None = Field(validation_alias="key_id")
    user: str | None


class AuditEntryOut(Wire):
    """An entry of the log. `object` is `kind:id`; `details` are ids and figures, never texts or secrets.

    `hash` covers the whole entry and `previous_hash`, that of the entry before, which may be another tenant's.
    """

    sequence: int
    at: Instant
    actor: ActorOut
    request: str | None = Field(validation_alias="request_id")
    action: str
    object: str
    result: str
    details: dict[str, Any]
    previous_hash: str
    hash: str


class AuditPage(Wire):
    """A page of the log, newest first; `next_cursor` is null on the last one."""

    entries: list[AuditEntryOut]
    next_cursor: str | None


class FaultOut(Wire):
    """A place at which the log is not as it was written."""

    sequence: int
    detail: str


class VerificationOut(Wire):
    """The result of a check of the whole log, with the number of the tenant's `entries` and the `head`, its last one.

    Without `faults`, nothing was changed up to the end.
    """

    entries: int
    head: str
    faults: list[FaultOut]

    @classmethod
    def from_verification(cls, found: ChainVerification) -> Self:
        return cls.from_records(found, head=str(found.head))
