"""The reply to one question in Slack: its messages are posted once each, whatever dies in between.

Before a message is posted, the catalog knows that one is on its way; after it, the catalog has its timestamp. Where
the second is missing, the thread is looked at once, and a message that is there already becomes the reply's.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog

from api.slack.errors import SlackError, SlackRefusedError, SlackUnavailableError
from api.slack.replies.messages import SlackMessage, build_moved_message, simplify_message
from api.slack.web import SlackWeb
from ingest.storage.instrumentation import reach_point
from ingest.storage.slack.records import SlackQuestion, Workspace
from ingest.storage.slack.store import SlackStore

log = structlog.get_logger(__name__)

# How far Slack's clock may be behind ours; earlier messages of the bot are known, or say which question they answer.
_CLOCK_SKEW_SECONDS = 60.0
EVENT_TYPE = "leadline_reply"
_BLOCK_ERRORS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})

InThread = Callable[..., Awaitable[Any]]


class Reply:
    """Writes to one thread of a `channel`, or to the channel itself. `question` is as the catalog has it by now."""

    def __init__(
        self,
        web: SlackWeb,
        store: SlackStore,
        workspace: Workspace,
        question: SlackQuestion,
        in_thread: InThread,
        channel: str,
    ) -> None:
        self.web = web
        self._store = store
        self._workspace = workspace
        self.question = question
        self._in_thread = in_thread
        self.channel = channel
        self.thread_ts = question.asked.thread_ts

    @property
    def messages(self) -> tuple[str, ...]:
        """The timestamps of the messages that are in Slack."""
        return self.question.posted.messages

    async def recover(self) -> None:
        """Find out what became of a message that was on its way when its process died."""
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
        mine = [each for each in found.get("messages", ()) if self._is_mine(each)]
        await self._record_messages((*self.messages, *(str(each["ts"]) for each in mine[:1])))

    async def finish(self, messages: Sequence[SlackMessage], *, anew: bool = False) -> None:
        """Put the whole reply in the place of all that was shown before, or `anew` at the thread's end.

        Where somebody deleted a message of it in Slack, that and those after it are posted again, in order.
        """
        if anew:
            await self._delete_messages_from(0)
        for number, message in enumerate(messages):
            if number < len(self.messages):
                if await self.update(number, message):
                    continue
                # guard: slack-deleted-reposted
                await self._delete_messages_from(number)
            await self._post_or_simplify(message, number)
        await self._delete_messages_from(len(messages))

    async def post_once(self, method: str, **body: Any) -> None:  # noqa: ANN401 - JSON
        """Post a message, and record it. Where it is not known whether it is there, the next attempt looks."""
        self.question = await self._in_thread(self._store.mark_posting, self.question)
        reach_point("slack.posting")
        try:
            found = await self.web.call(method, channel=self.channel, **self._thread_arguments, **body)
        except SlackUnavailableError:
            raise
        except SlackError:
            await self._record_messages(self.messages)
            raise
        reach_point("slack.sent")
        await self._record_messages((*self.messages, str(found["ts"])))
        reach_point("slack.posted")

    async def update(self, number: int, message: SlackMessage) -> bool:
        """Replace a message; false if Slack has it no more, or lets nobody change it."""
        about = {"channel": self.channel, "ts": self.messages[number], "metadata": self._build_metadata(number)}
        try:
            try:
                await self.web.call("chat.update", blocks=message.blocks, text=message.text, **about)
            except SlackRefusedError as error:
                if error.reason not in _BLOCK_ERRORS:
                    raise
                log.warning("Slack takes no such blocks", reason=error.reason)
                plain = simplify_message(message)
                await self.web.call("chat.update", blocks=plain.blocks, text=plain.text, **about)
        except SlackRefusedError as error:
            # guard: slack-unchangeable-reposted
            log.info("a message was not changed", reason=error.reason)
            return False
        return True

    async def post(self, message: SlackMessage, number: int) -> None:
        """Post a message as it is."""
        await self.post_once(
            "chat.postMessage",
            blocks=message.blocks,
            text=message.text,
            metadata=self._build_metadata(number),
            unfurl_links=False,
            unfurl_media=False,
        )

    async def _post_or_simplify(self, message: SlackMessage, number: int) -> None:
        try:
            await self.post(message, number)
        except SlackRefusedError as error:
            if error.reason not in _BLOCK_ERRORS:
                raise
            log.warning("Slack takes no such blocks", reason=error.reason)
            # guard: slack-plainer-blocks
            await self.post(simplify_message(message), number)

    async def _delete_messages_from(self, number: int) -> None:
        """Delete the messages from a number on. Where a workspace forbids that, they say where the reply is."""
        for ts in self.messages[number:]:
            try:
                await self.web.call("chat.delete", channel=self.channel, ts=ts)
            except SlackRefusedError as error:
                log.info("a message was not deleted", reason=error.reason)
                moved = build_moved_message()
                with suppress(SlackRefusedError):  # somebody else deleted it
                    about = {"channel": self.channel, "ts": ts, "metadata": self._build_metadata(number)}
                    await self.web.call("chat.update", blocks=moved.blocks, text=moved.text, **about)
        if len(self.messages) > number:
            reach_point("slack.removed")
            await self._record_messages(self.messages[:number])

    async def _record_messages(self, messages: tuple[str, ...]) -> None:
        self.question = await self._in_thread(self._store.record_posted, self.question, messages)

    @property
    def _thread_arguments(self) -> dict[str, str]:
        return {"thread_ts": self.thread_ts} if self.thread_ts else {}

    def _build_metadata(self, number: int) -> dict[str, Any]:
        return {"event_type": EVENT_TYPE, "event_payload": {"question": self.question.id, "part": number}}

    def _is_mine(self, message: dict[str, Any]) -> bool:
        """True for a message of ours that nothing is known of: of this question, or a stream, which has no metadata."""
        if message.get("user") != self._workspace.bot_user_id or message.get("ts") in self.messages:
            return False
        metadata = message.get("metadata") or {}
        if not metadata.get("event_type"):
            return True
        payload = metadata.get("event_payload") or {}
        return metadata["event_type"] == EVENT_TYPE and payload.get("question") == self.question.id
