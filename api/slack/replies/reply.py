"""The reply to a question in Slack.

Each message of the reply is posted exactly once, even if a process dies in between. The catalog records that a message
is about to be posted, and then the message's timestamp. If a process finds no timestamp, it searches the thread once,
and records a message that it finds there as posted.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog

from api.languages.catalogue import Texts
from api.slack.errors import SlackError, SlackRefusedError, SlackUnavailableError
from api.slack.replies.blocks import SlackMessage
from api.slack.replies.messages import build_moved_message, simplify_message
from api.slack.web import SlackWeb
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.slack.records import SlackQuestion, Workspace
from ingest.storage.slack.store import SlackStore

log = structlog.get_logger(__name__)

# Maximum time by which Slack's clock may lag behind the service's clock. Searching this far back is safe, because
# earlier bot messages have already been recorded or name their question.
_CLOCK_SKEW_SECONDS = 60.0
EVENT_TYPE = "leadline_reply"
_BLOCK_ERRORS = frozenset(
    {
        "invalid_attachments",  # The error for tables that Slack rejects.
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_blocks_too_long",
        "msg_too_long",
        "only_one_table_allowed",
    }
)

InThread = Callable[..., Awaitable[Any]]


class Reply:
    """Posts the reply in the question's thread, or in `channel` if there is none.

    `question` is the question's latest recorded state. `texts` are in the language of the person who asked.
    """

    def __init__(
        self,
        web: SlackWeb,
        store: SlackStore,
        workspace: Workspace,
        question: SlackQuestion,
        run_in_thread: InThread,
        channel: str,
        texts: Texts,
    ) -> None:
        self.web = web
        self.texts = texts
        self._store = store
        self._workspace = workspace
        self.question = question
        self._in_thread = run_in_thread
        self.channel = channel
        self.thread_ts = question.asked.thread_ts

    @property
    def messages(self) -> tuple[str, ...]:
        """The timestamps by which Slack identifies the posted messages, in order."""
        return self.question.posted.messages

    async def recover_message(self) -> None:
        """Find and record a message if a process died after posting it but before recording it."""
        since = self.question.posted.since
        if since is None:
            return
        found = await self.web.call(
            "conversations.replies" if self.thread_ts else "conversations.history",
            channel=self.channel,
            **({"ts": self.thread_ts} if self.thread_ts else {}),
            oldest=f"{since - _CLOCK_SKEW_SECONDS:.6f}",
            limit=15,
            include_all_metadata=True,
        )
        own_messages = [each for each in found.get("messages", ()) if self._is_own_message(each)]
        await self._record_messages((*self.messages, *(str(each["ts"]) for each in own_messages[:1])))

    async def finish_reply(self, messages: Sequence[SlackMessage], *, at_end: bool = False) -> None:
        """Replace everything shown so far with the complete reply. With `at_end`, post it at the end of the thread.

        If a user has deleted one of the messages in Slack, that message and all later ones are posted again.
        """
        if at_end:
            await self._delete_messages_from(0)
        for number, message in enumerate(messages):
            if number < len(self.messages):
                if await self.update_message(number, message):
                    continue
                # guard: slack-deleted-reposted
                await self._delete_messages_from(number)
            await self._post_or_simplify(message, number)
        await self._delete_messages_from(len(messages))

    async def post_message_once(self, method: str, **body: Any) -> None:  # noqa: ANN401 - JSON
        """Post a message and record it.

        If Slack's response is lost, the next attempt checks whether the message was posted.
        """
        self.question = await self._in_thread(self._store.mark_posting_started, self.question)
        reach_fault_point("slack.posting")
        try:
            found = await self.web.call(method, channel=self.channel, **self._thread_arguments, **body)
        except SlackUnavailableError:
            raise
        except SlackError:
            await self._record_messages(self.messages)
            raise
        reach_fault_point("slack.sent")
        await self._record_messages((*self.messages, str(found["ts"])))
        reach_fault_point("slack.posted")

    async def update_message(self, message_index: int, message: SlackMessage) -> bool:
        """Update a message. Returns False if it no longer exists or cannot be edited."""
        about = {
            "channel": self.channel,
            "ts": self.messages[message_index],
            "metadata": self._build_metadata(message_index),
        }
        try:
            try:
                await self.web.call("chat.update", blocks=message.blocks, text=message.text, **about)
            except SlackRefusedError as error:
                if error.reason not in _BLOCK_ERRORS:
                    raise
                log.warning("blocks refused, using simpler ones", reason=error.reason)
                plain = simplify_message(message)
                await self.web.call("chat.update", blocks=plain.blocks, text=plain.text, **about)
        except SlackRefusedError as error:
            # guard: slack-unchangeable-reposted
            log.info("message not updated", reason=error.reason)
            return False
        return True

    async def post_message(self, message: SlackMessage, message_index: int) -> None:
        """Post a message, without simplifying its blocks if Slack rejects them."""
        await self.post_message_once(
            "chat.postMessage",
            blocks=message.blocks,
            text=message.text,
            metadata=self._build_metadata(message_index),
            unfurl_links=False,
            unfurl_media=False,
        )

    async def _post_or_simplify(self, message: SlackMessage, message_index: int) -> None:
        try:
            await self.post_message(message, message_index)
        except SlackRefusedError as error:
            if error.reason not in _BLOCK_ERRORS:
                raise
            log.warning("blocks refused, using simpler ones", reason=error.reason)
            # guard: slack-plainer-blocks
            await self.post_message(simplify_message(message), message_index)

    async def _delete_messages_from(self, first_index: int) -> None:
        """Delete the messages from `first_index` on, or replace their text by a pointer to the reply if that fails."""
        for ts in self.messages[first_index:]:
            try:
                await self.web.call("chat.delete", channel=self.channel, ts=ts)
            except SlackRefusedError as error:
                log.info("message not deleted", reason=error.reason)
                moved = build_moved_message(self.texts)
                with suppress(SlackRefusedError):  # A user has already deleted the message.
                    about = {"channel": self.channel, "ts": ts, "metadata": self._build_metadata(first_index)}
                    await self.web.call("chat.update", blocks=moved.blocks, text=moved.text, **about)
        if len(self.messages) > first_index:
            reach_fault_point("slack.removed")
            await self._record_messages(self.messages[:first_index])

    async def _record_messages(self, messages: tuple[str, ...]) -> None:
        self.question = await self._in_thread(self._store.record_posted_messages, self.question, messages)

    @property
    def _thread_arguments(self) -> dict[str, str]:
        return {"thread_ts": self.thread_ts} if self.thread_ts else {}

    def _build_metadata(self, message_index: int) -> dict[str, Any]:
        return {"event_type": EVENT_TYPE, "event_payload": {"question": self.question.id, "part": message_index}}

    def _is_own_message(self, message: dict[str, Any]) -> bool:
        """Return whether `message` is an unrecorded bot message that replies to this question.

        Bot messages without metadata count too, because streams have no metadata.
        """
        if message.get("user") != self._workspace.bot_user_id or message.get("ts") in self.messages:
            return False
        metadata = message.get("metadata") or {}
        if not metadata.get("event_type"):
            return True
        payload = metadata.get("event_payload") or {}
        return metadata["event_type"] == EVENT_TYPE and payload.get("question") == self.question.id
