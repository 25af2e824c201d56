"""Entries of the audit log: who did what to which object, when, and how entries are chained by hashes."""

import getpass
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# The hash before the first entry.
GENESIS = "0" * 64


class Action(StrEnum):
    """What was done, as `kind of object.verb`."""

    DOCUMENT_UPLOADED = "document.uploaded"
    DOCUMENT_REPLACED = "document.replaced"
    DOCUMENT_CHANGED = "document.changed"
    DOCUMENT_CANCELLED = "document.cancelled"
    DOCUMENT_DELETED = "document.deleted"
    ENTRIES_TAKEN = "document.entries_taken"  # the entries of a container became documents
    ENTRIES_DELETED = "document.entries_deleted"  # they were deleted because their container has them no more
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
    TENANT_ERASED = "tenant.erased"  # everything of a deleted tenant is gone
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
    WEBHOOK_DISABLED = "webhook.disabled"  # by the service, because nothing arrives
    WEBHOOK_DELETED = "webhook.deleted"
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
    """What acts: a caller's key or token, a person at the command line, or the service by itself."""

    CALLER = "caller"
    COMMAND_LINE = "command line"
    SERVICE = "service"
    NOBODY = "nobody"  # a request without a valid key


@dataclass(frozen=True)
class Actor:
    """Who acts. `user` is a caller's user, or the operating system's at the command line."""

    kind: ActorKind
    key_id: str | None = None
    user: str | None = None


SERVICE = Actor(ActorKind.SERVICE)


@dataclass
class ActorContext:
    """Who acts in a request or a command. A request's actor is known only after its key was checked."""

    actor: Actor
    request_id: str | None = None


_ACTOR_CONTEXT: ContextVar[ActorContext] = ContextVar("leadline_acting")


@contextmanager
def actor_context(actor: Actor, request_id: str | None = None) -> Iterator[ActorContext]:
    """Have what is recorded within the block, also in threads of its requests, say who did it."""
    token = _ACTOR_CONTEXT.set(ActorContext(actor, request_id))
    try:
        yield _ACTOR_CONTEXT.get()
    finally:
        _ACTOR_CONTEXT.reset(token)


def set_current_actor(actor: Actor) -> None:
    """Say who the caller of this request is. Without an enclosing `acting` it changes nothing."""
    if (found := _ACTOR_CONTEXT.get(None)) is not None:
        found.actor = actor


def get_actor_context() -> ActorContext:
    """Return who acts; the service itself outside of requests and commands, as in worker threads."""
    return _ACTOR_CONTEXT.get(None) or ActorContext(SERVICE)


def build_command_line_actor() -> Actor:
    """Return the person at the command line, by the operating system's name."""
    try:
        user: str | None = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = None
    return Actor(ActorKind.COMMAND_LINE, user=user)


@dataclass(frozen=True)
class AuditEntry:
    """One entry. `object` is `kind:id`; `tenant_id` is None for what concerns the whole installation.

    `details` are names, ids and figures: never text of a document, a name that was given to one, or a secret.
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
        """Return the entry as it is exported."""
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
    """Return the SHA-256 of everything in an entry, the hash before it included, as canonical JSON."""
    content = entry.to_json()
    del content["hash"]
    written = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


@dataclass(frozen=True)
class Anchor:
    """A place in the log that was noted elsewhere: an entry's sequence and hash. Written as `SEQUENCE:HASH`."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> "Anchor":
        """Read `SEQUENCE:HASH`. Raises `ValueError`."""
        sequence, _, digest = text.strip().partition(":")
        if len(digest) != len(GENESIS) or set(digest) - set("0123456789abcdef"):
            raise ValueError(f"{text!r} is not a sequence and a hash, such as 12:{GENESIS[:8]}…")
        return cls(int(sequence), digest)


@dataclass(frozen=True)
class ChainFault:
    """A place at which the log is not as it was written."""

    sequence: int
    detail: str


@dataclass(frozen=True)
class ChainVerification:
    """The result of a look at the whole log: how many entries were checked, its head, and what is wrong."""

    entries: int
    head: Anchor
    faults: tuple[ChainFault, ...]
