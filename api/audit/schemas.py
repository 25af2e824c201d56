"""Wire models for the audit log."""

from typing import Any, Self

from pydantic import Field

from api.http.remark_schemas import RemarkOut
from api.http.wire import Instant, Wire
from ingest.storage.audit.records import ActorKind, ChainVerification
from ingest.storage.remarks import convert_remark_to_json


class ActorOut(Wire):
    """The actor: a caller with a key or user, an operator at the command line, or the service itself."""

    kind: ActorKind
    key: str | None = Field(validation_alias="key_id")
    user: str | None


class AuditEntryOut(Wire):
    """An entry of the log. `object` is `kind:id`. `details` contains ids and numbers, but no document text or secrets.

    `hash` covers the whole entry including `previous_hash`. `previous_hash` is the hash of the preceding entry, which
    may belong to another tenant.
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
    """A page of the log, newest first; `next_cursor` is null on the last page.

    `names` contains the current names of the page's keys, users, people and documents, by `key:ID`, `user:ID` and
    `document:ID`. Objects that no longer exist, and documents that you cannot see, have no name.
    """

    entries: list[AuditEntryOut]
    names: dict[str, str]
    next_cursor: str | None


class FaultOut(Wire):
    """An audit log entry at which the hash chain breaks. `coded_detail` is the detail with its code."""

    sequence: int
    detail: str
    coded_detail: RemarkOut


class VerificationOut(Wire):
    """The result of verifying the whole log: the tenant's number of `entries` and its last entry, `head`.

    If `faults` is empty, no entry up to the end of the log was changed.
    """

    entries: int
    head: str
    faults: list[FaultOut]

    @classmethod
    def from_verification(cls, verification: ChainVerification) -> Self:
        faults = [
            FaultOut.from_records(each, detail=str(each.detail), coded_detail=convert_remark_to_json(each.detail))
            for each in verification.faults
        ]
        return cls.from_records(verification, head=str(verification.head), faults=faults)
