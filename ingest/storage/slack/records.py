"""Questions and files that come from Slack, and its workspaces, as the catalog stores them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingest.storage.queue.records import Failure


class Surface(StrEnum):
    """Where a question was asked, which decides who reads the answer."""

    CHANNEL = "channel"  # a mention, a follow-up in a thread, or a shortcut: everybody in the channel
    DIRECT = "direct"  # a direct message, the agent's view, or `/ask`: whoever asked


class QuestionState(StrEnum):
    """The life of a question: `waiting → answering`, back again when its process is lost, and one of the two ends.

    One whose run waits for somebody is `paused`; it is taken again once its run is paused no more.
    """

    WAITING = "waiting"
    ANSWERING = "answering"
    PAUSED = "paused"  # its run has met its budget, and a message in the thread asks what to do
    ANSWERED = "answered"  # its final message is in Slack: an answer, or the reason why there is none
    GIVEN_UP = "given_up"  # Slack takes no message for it: the channel or the workspace is gone


@dataclass(frozen=True)
class Workspace:
    """A Slack workspace where the app is installed, for one tenant. `api.slack.installing` seals the `token`."""

    team_id: str
    tenant_id: str
    name: str
    bot_user_id: str
    token: str
    scopes: tuple[str, ...] = ()
    installed_by: str = ""


@dataclass(frozen=True)
class ChannelSettings:
    """How the bot behaves in a channel. Without `collections` it asks all that everybody there may see.

    With `mention_only` it answers no follow-up that does not name it; `askers` are Slack users, and none is everybody.
    All files that are shared in the channel go into the collection `files_to`; without it, those shared with the bot.
    """

    collections: tuple[str, ...] = ()
    strategy: str = "auto"
    mention_only: bool = False
    askers: tuple[str, ...] = ()
    files_to: str = ""

    @property
    def asked_collections(self) -> tuple[str, ...]:
        """The collections that questions are about, with the channel's files; none is all."""
        more = [self.files_to] if self.files_to and self.files_to not in self.collections else []
        return (*self.collections, *more) if self.collections else ()

    def can_ask(self, user_id: str) -> bool:
        return not self.askers or user_id in self.askers

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "ChannelSettings":
        return cls(
            tuple(body.get("collections", ())),
            str(body.get("strategy", "auto")),
            bool(body.get("mention_only", False)),
            tuple(body.get("askers", ())),
            str(body.get("files_to", "")),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "collections": list(self.collections),
            "strategy": self.strategy,
            "mention_only": self.mention_only,
            "askers": list(self.askers),
            "files_to": self.files_to,
        }


@dataclass(frozen=True)
class IncomingQuestion:
    """A question as it came: by `user_id`, with the message `message_ts`, to be answered in the thread `thread_ts`.

    `confirmed` accepts what the answer may cost.
    """

    team_id: str
    tenant_id: str
    channel: str
    thread_ts: str
    message_ts: str
    user_id: str
    surface: Surface
    text: str
    confirmed: bool = False


@dataclass(frozen=True)
class PostedReply:
    """The messages of a reply that are in Slack, in order, and since when one more may be on its way there."""

    messages: tuple[str, ...] = ()
    since: float | None = None


@dataclass(frozen=True)
class SlackQuestion:
    """A question that a process holds, under a `fence` that grows each time it is taken.

    `attempt` counts from when it was asked, or taken after a pause, which is the instant `since`.
    """

    id: str
    asked: IncomingQuestion
    state: QuestionState
    conversation_id: str | None
    run_id: str | None
    posted: PostedReply
    attempt: int
    fence: int
    created_at: float
    since: float
    settings: ChannelSettings = field(default_factory=ChannelSettings)


NO_FAILURE = Failure("", "")


class SharedFileState(StrEnum):
    """The life of a file that was shared: `waiting → taken → ready`, or another end."""

    WAITING = "waiting"  # it is to be fetched from Slack
    TAKEN = "taken"  # it is a document, which is being worked on
    READY = "ready"
    FAILED = "failed"  # it is a document, of which nothing can be read
    REFUSED = "refused"  # it became no document
    GONE = "gone"  # it was deleted in Slack, and what had to follow was done


FINAL_FILE_STATES = frozenset(
    {SharedFileState.READY, SharedFileState.FAILED, SharedFileState.REFUSED, SharedFileState.GONE}
)


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


OPEN_SHARE_STATES = (ShareState.WAITING, ShareState.WORKING)


@dataclass(frozen=True)
class SharedFile:
    """One file of a message. `said` is why it was refused or failed, or what its deletion did.

    `gone_at` is when Slack told that it was deleted; what has to follow is done when its state is `gone`.
    """

    file_id: str
    name: str
    state: SharedFileState = SharedFileState.WAITING
    document_id: str | None = None
    audience: Audience = Audience.UNKNOWN
    said: Failure = NO_FAILURE
    gone_at: float | None = None

    @property
    def has_ended(self) -> bool:
        return self.state is SharedFileState.GONE if self.gone_at is not None else self.state in FINAL_FILE_STATES


@dataclass(frozen=True)
class IncomingShare:
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
    shared: IncomingShare
    files: tuple[SharedFile, ...]
    reply_ts: str | None
    posting_since: float | None
    shown: str
    failures: int
    fence: int
    created_at: float
