"""Records of Slack questions, shared files and workspaces in the catalog."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingest.storage.queue.records import Failure


class Surface(StrEnum):
    """The place in Slack where a question was asked, which determines who can read the answer."""

    # The question is a mention, a follow-up in a thread, or a shortcut. The whole channel can read the answer.
    CHANNEL = "channel"
    # The question is a direct message, or from the agent view or `/ask`. Only the asking user can read the answer.
    DIRECT = "direct"


class QuestionState(StrEnum):
    """The states of a question: `waiting → answering`, then one of two final states.

    If the process that answers a question is lost, another process continues. A question is `paused` while its run
    waits for a user's decision, and can be claimed again once the run is no longer paused.
    """

    WAITING = "waiting"
    ANSWERING = "answering"
    PAUSED = "paused"  # The question's run has exhausted the budget, and a message in the thread asks how to proceed.
    ANSWERED = "answered"  # The final message was posted: an answer, or the reason why there is none.
    GIVEN_UP = "given_up"  # Slack accepts no message for the question, because the channel or workspace is gone.


@dataclass(frozen=True)
class Workspace:
    """A Slack workspace in which a tenant has installed the app. `token` is sealed by `api.slack.installing`."""

    team_id: str
    tenant_id: str
    name: str
    bot_user_id: str
    token: str
    scopes: tuple[str, ...] = ()
    installed_by: str = ""


@dataclass(frozen=True)
class ChannelSettings:
    """The bot's settings for a channel.

    If `collections` is empty, the bot searches everything that all members may see. If `mention_only` is true, the bot
    answers follow-ups only if it is mentioned. `askers` are the Slack users who may ask; if empty, everyone may. If
    `files_to` is set, every file shared in the channel is added to that collection. Otherwise, only files shared with
    the bot are added.
    """

    collections: tuple[str, ...] = ()
    strategy: str = "auto"
    mention_only: bool = False
    askers: tuple[str, ...] = ()
    files_to: str = ""

    @property
    def searched_collections(self) -> tuple[str, ...]:
        """The collections that questions search, including the collection for the channel's files. Empty means all."""
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
    """A question as received from Slack.

    The user `user_id` asked it in the message `message_ts`. It is answered in the thread `thread_ts`. If `confirmed` is
    true, the user has accepted the estimated cost of the answer.
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
    """The messages of a reply that were posted in Slack, in order.

    While another message is being posted, `since` is the time at which posting it began.
    """

    messages: tuple[str, ...] = ()
    since: float | None = None


@dataclass(frozen=True)
class SlackQuestion:
    """A question claimed by a process. `fence` is the fencing token, which increases with each claim.

    `attempt` counts the attempts since `since`, which is when the question was asked or first claimed after a pause.
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
    """The states of a shared file: `waiting → taken → ready`, or another final state."""

    WAITING = "waiting"  # The file will be downloaded from Slack.
    TAKEN = "taken"  # The file became a document, which is being processed.
    READY = "ready"
    FAILED = "failed"  # The file became a document that could not be read.
    REFUSED = "refused"  # The file did not become a document.
    GONE = "gone"  # The file was deleted in Slack, and its document was deleted if necessary.


FINAL_FILE_STATES = frozenset(
    {SharedFileState.READY, SharedFileState.FAILED, SharedFileState.REFUSED, SharedFileState.GONE}
)


class Audience(StrEnum):
    """The users who may see a file's document, in addition to the tenant's admins."""

    UNKNOWN = ""
    TENANT = "tenant"  # The file was shared in a public channel: all users of the tenant can read it.
    # The file was shared in a private channel: the channel's members and the sharing user can read it.
    CHANNEL = "channel"
    SHARER = "sharer"  # The file was shared in direct messages: the user who shared it can read it.


class ShareState(StrEnum):
    """The states of a message with files: `waiting ⇄ working`, then a final state.

    If one of its files is deleted in Slack, a message in a final state returns to `waiting`.
    """

    WAITING = "waiting"
    WORKING = "working"
    ENDED = "ended"
    GIVEN_UP = "given_up"  # Slack accepts no message about the file.


OPEN_SHARE_STATES = (ShareState.WAITING, ShareState.WORKING)


@dataclass(frozen=True)
class SharedFile:
    """A file in a message.

    `said` says why the file was rejected or failed, or what its deletion did. `gone_at` is the time at which Slack
    reported the deletion. The state becomes `gone` once the deletion is complete.
    """

    file_id: str
    name: str
    state: SharedFileState = SharedFileState.WAITING
    document_id: str | None = None
    audience: Audience = Audience.UNKNOWN
    said: Failure = NO_FAILURE
    gone_at: float | None = None

    @property
    def is_finished(self) -> bool:
        return self.state is SharedFileState.GONE if self.gone_at is not None else self.state in FINAL_FILE_STATES


@dataclass(frozen=True)
class IncomingShare:
    """A message with files as received from Slack. The reply is posted in the thread `thread_ts`."""

    team_id: str
    tenant_id: str
    channel: str
    thread_ts: str
    message_ts: str
    user_id: str


@dataclass(frozen=True)
class FileShare:
    """A message with files, claimed by a process. `fence` is the fencing token, which increases with each claim.

    `reply_ts` identifies the bot's status message, and `shown` is the digest of its text. While it is being posted,
    `posting_since` is the time at which posting began. `failures` counts consecutive attempts that failed because of
    Slack or the service itself.
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
