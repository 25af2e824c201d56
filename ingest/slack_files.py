"""Files that people share with the bot in Slack, as the catalog stores them."""

from dataclasses import dataclass
from enum import StrEnum

from ingest.storage.queue.records import Failure

NOTHING_SAID = Failure("", "")


class FileState(StrEnum):
    """The life of a file that was shared: `waiting → taken → ready`, or another end."""

    WAITING = "waiting"  # it is to be fetched from Slack
    TAKEN = "taken"  # it is a document, which is being worked on
    READY = "ready"
    FAILED = "failed"  # it is a document, of which nothing can be read
    REFUSED = "refused"  # it became no document
    GONE = "gone"  # it was deleted in Slack, and what had to follow was done


FILE_ENDS = frozenset({FileState.READY, FileState.FAILED, FileState.REFUSED, FileState.GONE})


class Audience(StrEnum):
    """Who may see the document of a file, besides the tenant's admins."""

    UNKNOWN = ""
    TENANT = "tenant"  # it was shared in a public channel
    CHANNEL = "channel"  # in a private one: its members, and whoever shared it
    SHARER = "sharer"  # in direct messages: whoever shared it


class ShareState(StrEnum):
    """The life of a message with files: `waiting → working` again and again, then an end.

    An ended share waits again when one of its files is deleted in Slack.
    """

    WAITING = "waiting"
    WORKING = "working"
    ENDED = "ended"
    GIVEN_UP = "given_up"  # Slack takes no message for it


OPEN_SHARES = (ShareState.WAITING, ShareState.WORKING)


@dataclass(frozen=True)
class SharedFile:
    """One file of a message. `said` is why it was refused or failed, or what its deletion did.

    `gone_at` is when Slack told that it was deleted; what has to follow is done when its state is `gone`.
    """

    file_id: str
    name: str
    state: FileState = FileState.WAITING
    document_id: str | None = None
    audience: Audience = Audience.UNKNOWN
    said: Failure = NOTHING_SAID
    gone_at: float | None = None

    @property
    def has_ended(self) -> bool:
        return self.state is FileState.GONE if self.gone_at is not None else self.state in FILE_ENDS


@dataclass(frozen=True)
class Shared:
    """A message with files as it came: by `user_id`, to be answered in the thread `thread_ts`."""

    team_id: str
    tenant_id: str
    channel: str
    thread_ts: str
    message_ts: str
    user_id: str


@dataclass(frozen=True)
class FileShare:
    """A message with files that a process holds, under a `fence` that grows each time it is taken.

    `reply_ts` is the message that says how it goes, `posting_since` when that may be on its way, and `shown` the digest
    of what it says. `failures` counts attempts in a row that Slack or the service itself kept from going on.
    """

    id: str
    shared: Shared
    files: tuple[SharedFile, ...]
    reply_ts: str | None
    posting_since: float | None
    shown: str
    failures: int
    fence: int
    created_at: float
