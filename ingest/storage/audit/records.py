"""Audit log entries: who did what to which object, and when. Each entry contains the hash of the previous entry."""

import getpass
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ingest.storage.remarks import Remark

# The value of the previous hash in the first entry.
GENESIS = "0" * 64


class Action(StrEnum):
    """The kinds of recorded actions, named `object.verb`."""

    DOCUMENT_UPLOADED = "document.uploaded"
    DOCUMENT_REPLACED = "document.replaced"
    DOCUMENT_CHANGED = "document.changed"
    DOCUMENT_CANCELLED = "document.cancelled"
    DOCUMENT_DELETED = "document.deleted"
    ENTRIES_TAKEN = "document.entries_taken"  # the entries of a container became documents
    ENTRIES_DELETED = "document.entries_deleted"  # the container no longer contains these entries
    BATCH_CANCELLED = "batch.cancelled"
    COLLECTION_CREATED = "collection.created"
    COLLECTION_CHANGED = "collection.changed"
    COLLECTION_DELETED = "collection.deleted"
    FILE_UPLOADED = "file.uploaded"
    FILE_DELETED = "file.deleted"
    RUN_DELETED = "run.deleted"
    ANSWER_DELETED = "answer.deleted"
    CONVERSATION_DELETED = "conversation.deleted"
    SHARE_CREATED = "share.created"
    SHARE_REVOKED = "share.revoked"
    REPLIES_FORGOTTEN = "replies.forgotten"
    TENANT_CREATED = "tenant.created"
    TENANT_CHANGED = "tenant.changed"
    TENANT_EXPORTED = "tenant.exported"
    TENANT_DELETED = "tenant.deleted"
    TENANT_ERASED = "tenant.erased"  # all data of a deleted tenant has been removed
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    USER_DELETED = "user.deleted"
    KEY_CREATED = "key.created"
    KEY_CHANGED = "key.changed"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    SESSION_BEGUN = "session.begun"
    SESSIONS_ENDED = "sessions.ended"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_ROTATED = "webhook.rotated"
    WEBHOOK_DISABLED = "webhook.disabled"  # the service disabled the webhook after repeated delivery failures
    WEBHOOK_DELETED = "webhook.deleted"
    SOURCE_CREATED = "source.created"
    SOURCE_CHANGED = "source.changed"
    SOURCE_DELETED = "source.deleted"
    SOURCE_SYNC_REQUESTED = "source.sync_requested"
    SOURCE_SYNC_CANCELLED = "source.sync_cancelled"
    SOURCE_REMOVALS_APPROVED = "source.removals_approved"
    QUOTA_CHANGED = "quota.changed"
    QUEUE_PAUSED = "queue.paused"
    QUEUE_RESUMED = "queue.resumed"
    SETTINGS_CHANGED = "settings.changed"
    INDEX_SWITCHED = "index.switched"
    INSTALLATION_CHANGED = "installation.changed"
    BACKUP_MADE = "backup.made"
    BACKUP_RESTORED = "backup.restored"
    SLACK_INSTALLED = "slack.installed"
    SLACK_REMOVED = "slack.removed"
    SLACK_CHANNEL_SET = "slack.channel_set"
    RETENTION_APPLIED = "retention.applied"
    AUDIT_TRIMMED = "audit.trimmed"


class ActorKind(StrEnum):
    """The kinds of actors: the client that sent a request, a user of the command line, or the service itself."""

    CALLER = "caller"
    COMMAND_LINE = "command line"
    SERVICE = "service"
    NOBODY = "nobody"  # the actor of a request without a valid key


@dataclass(frozen=True)
class Actor:
    """The actor of an action.

    `user` is the caller's user or, for the command line, the operating system's user.
    """

    kind: ActorKind
    key_id: str | None = None
    user: str | None = None


SERVICE = Actor(ActorKind.SERVICE)


@dataclass
class ActorContext:
    """The actor of a request or command. For a request, the actor is known only once its key has been checked."""

    actor: Actor
    request_id: str | None = None


_ACTOR_CONTEXT: ContextVar[ActorContext] = ContextVar("leadline_acting")


@contextmanager
def actor_context(actor: Actor, request_id: str | None = None) -> Iterator[ActorContext]:
    """Set the actor to record within the block, including in threads that copy its context."""
    token = _ACTOR_CONTEXT.set(ActorContext(actor, request_id))
    try:
        yield _ACTOR_CONTEXT.get()
    finally:
        _ACTOR_CONTEXT.reset(token)


def set_current_actor(actor: Actor) -> None:
    """Set the actor of the current request. Does nothing outside `actor_context`."""
    if (found := _ACTOR_CONTEXT.get(None)) is not None:
        found.actor = actor


def get_actor_context() -> ActorContext:
    """Return the current actor. Outside requests and commands, as in worker threads, this is the service."""
    return _ACTOR_CONTEXT.get(None) or ActorContext(SERVICE)


def build_command_line_actor() -> Actor:
    """Build the actor of a command, named after the operating system's user."""
    try:
        user: str | None = getpass.getuser()
    except (KeyError, OSError):  # in a container, the process may run under a user id without a name
        user = None
    return Actor(ActorKind.COMMAND_LINE, user=user)


@dataclass(frozen=True)
class AuditEntry:
    """An entry of the audit log. `object` is `kind:id`.

    `tenant_id` is None for entries that concern the whole installation. `details` contains names, ids and figures. It
    never contains the text or name of a document, or a secret.
    """

    sequence: int
    at: float
    tenant_id: str | None
    actor: Actor
    request_id: str | None
    action: str
    object: str
    result: str
    details: Mapping[str, Any]
    previous_hash: str
    hash: str

    def to_json(self) -> dict[str, Any]:
        """Convert the entry to a JSON object for export."""
        return {
            "sequence": self.sequence,
            "at": self.at,
            "tenant": self.tenant_id,
            "actor": {"kind": self.actor.kind.value, "key": self.actor.key_id, "user": self.actor.user},
            "request": self.request_id,
            "action": self.action,
            "object": self.object,
            "result": self.result,
            "details": dict(self.details),
            "previous_hash": self.previous_hash,
            "hash": self.hash,
        }


def compute_entry_hash(entry: AuditEntry) -> str:
    """Compute the SHA-256 of an entry as canonical JSON, including the previous hash."""
    content = entry.to_json()
    del content["hash"]
    written = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


@dataclass(frozen=True)
class Anchor:
    """The sequence number and hash of an entry, recorded outside the log to check the log against it later.

    The string form is `SEQUENCE:HASH`.
    """

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> "Anchor":
        """Parse `SEQUENCE:HASH`. Raises `ValueError` if the string has another form."""
        sequence, _, digest = text.strip().partition(":")
        if len(digest) != len(GENESIS) or set(digest) - set("0123456789abcdef"):
            raise ValueError(f"{text!r} is not a sequence and a hash, such as 12:{GENESIS[:8]}…")
        return cls(int(sequence), digest)


@dataclass(frozen=True)
class ChainFault:
    """An entry where the hash chain breaks."""

    sequence: int
    detail: Remark


@dataclass(frozen=True)
class ChainVerification:
    """The result of checking the whole log: the number of entries checked, the last entry, and the faults found."""

    entries: int
    head: Anchor
    faults: tuple[ChainFault, ...]
