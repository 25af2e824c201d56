"""The reply to one question in Slack: its messages are posted once each, whatever dies in between.

Before a message is posted, the catalog knows that one is on its way; after it, the catalog has its timestamp. Where
the second is missing, the thread is looked at once, and a message that is there already becomes the reply's. The reply
grows in its first message: as a stream while Slack takes that, then by updates, and at the end it is replaced whole.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from api.rendering import inert_markdown
from api.slack.errors import SlackBusyError, SlackError, SlackRefusedError, SlackUnavailableError
from api.slack.messages import Blocks, Message, note_message
from api.slack.web import SlackWeb
from ingest.catalog.slack import Slack
from ingest.faultpoints import reach
from ingest.slack import SlackQuestion, Surface, Workspace

log = structlog.get_logger(__name__)

# Slack ends a stream after about five minutes; ours ends before, and goes on as updates of the same message.
STREAM_SECONDS = 240.0
# A stream takes a hundred pieces a minute and more; updates, fifty.
_APPEND_SECONDS, _UPDATE_SECONDS = 1.0, 3.0
_STREAM_CHARS = 11_000
# How far Slack's clock may be behind ours; earlier messages of the bot are known, or say which question they answer.
_CLOCKS_APART_SECONDS = 60.0
EVENT_TYPE = "leadline_reply"
# What a message that is gone, or that never may be changed, is called.
_UNCHANGEABLE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"})

InThread = Callable[..., Awaitable[Any]]


class Reply:
    """Writes to one thread of a `channel`, or to the channel itself. `question` is as the catalog has it by now."""

    def __init__(
        self,
        web: SlackWeb,
        store: Slack,
        workspace: Workspace,
        question: SlackQuestion,
        in_thread: InThread,
        channel: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._web = web
        self._store = store
        self._workspace = workspace
        self.question = question
        self._in_thread = in_thread
        self._channel = channel
        thread = question.asked.thread_ts
        self._thread: dict[str, Any] = {"thread_ts": thread} if thread else {}
        self._clock = clock
        self._streamed_since: float | None = None
        self._may_stream = bool(thread) and not question.posted.messages
        self._sent = ""  # of the draft, what the stream has
        self._shown_at = 0.0
        self._status = ""

    async def recover(self) -> None:
        """Find out what became of a message that was on its way when its process died."""
        since = self.question.posted.since
        if since is None:
            return
        thread = self.question.asked.thread_ts
        found = await self._web.call(
            "conversations.replies" if thread else "conversations.history",
            channel=self._channel,
            **({"ts": thread} if thread else {}),
            oldest=f"{since - _CLOCKS_APART_SECONDS:.6f}",
            limit=15,
            include_all_metadata=True,
        )
        mine = [each["ts"] for each in found.get("messages", ()) if self._is_mine(each)]
        self.question = await self._in_thread(self._store.posted, self.question, mine[0] if mine else None)
        self._may_stream &= not self.question.posted.messages

    async def status(self, text: str) -> None:
        """Say what is being done, where Slack shows that; a status that cannot be shown is no fault."""
        if text == self._status or self._streamed_since is not None or not self._thread:
            return
        self._status = text
        try:
            await self._web.call("assistant.threads.setStatus", channel_id=self._channel, status=text, **self._thread)
        except SlackError as error:
            log.debug("status not shown", error=str(error))

    async def draft(self, text: str) -> None:
        """Show what is written of the answer so far; pieces that come fast are shown together."""
        shown = text[: max(text.rfind(" "), text.rfind("\n")) + 1]
        pause = _APPEND_SECONDS if self._streaming else _UPDATE_SECONDS
        if not shown.strip() or self._clock() - self._shown_at < pause:
            return
        self._shown_at = self._clock()
        try:
            if self._streaming and shown.startswith(self._sent) and len(shown) <= _STREAM_CHARS:
                await self._append(shown)
            elif self._may_stream and not self.question.posted.messages:
                await self._start(shown)
            elif self.question.posted.messages:
                await self._end_stream()
                await self._update(0, Message([_unfinished(shown)], "…"))
        except SlackRefusedError as error:  # what is shown meanwhile is no part of the answer
            log.info("draft not shown", reason=error.reason)
            self._may_stream = False
            self._streamed_since = None
        except SlackBusyError:
            self._may_stream = False

    async def finish(self, messages: Sequence[Message]) -> None:
        """Put the whole reply in the place of all that was shown before."""
        await self._end_stream()
        for number, message in enumerate(messages):
            if number < len(self.question.posted.messages) and await self._update(number, message):
                continue
            await self._post(message, number)

    @property
    def _streaming(self) -> bool:
        return self._streamed_since is not None and self._clock() - self._streamed_since < STREAM_SECONDS

    async def _start(self, shown: str) -> None:
        asked = self.question.asked
        recipient = {"recipient_team_id": asked.team_id, "recipient_user_id": asked.user_id}
        if asked.surface is Surface.DIRECT:
            recipient = {}
        await self._posted_once(
            "chat.startStream",
            channel=self._channel,
            markdown_text=inert_markdown(shown[:_STREAM_CHARS]),
            **self._thread,
            **recipient,
        )
        self._streamed_since, self._sent = self._clock(), shown[:_STREAM_CHARS]

    async def _append(self, shown: str) -> None:
        new = shown[len(self._sent) :]
        if new:
            await self._web.call(
                "chat.appendStream",
                channel=self._channel,
                ts=self.question.posted.messages[0],
                markdown_text=inert_markdown(new),
            )
            self._sent = shown
            reach("slack.streaming")

    async def _end_stream(self) -> None:
        """End the stream, if there is one; one that Slack has ended is at its end too."""
        messages, begun_here = self.question.posted.messages, self._streamed_since is not None
        self._streamed_since, self._may_stream = None, False
        if messages and (begun_here or self.question.attempt > 1):
            try:
                await self._web.call("chat.stopStream", channel=self._channel, ts=messages[0])
            except SlackRefusedError as error:
                log.debug("the stream had ended", reason=error.reason)

    async def _update(self, number: int, message: Message) -> bool:
        """Replace a message; false if Slack has it no more."""
        try:
            await self._web.call(
                "chat.update",
                channel=self._channel,
                ts=self.question.posted.messages[number],
                blocks=message.blocks,
                text=message.text,
                metadata=self._metadata(number),
            )
        except SlackRefusedError as error:
            if error.reason not in _UNCHANGEABLE:
                raise
            return False
        return True

    async def _post(self, message: Message, number: int) -> None:
        await self._posted_once(
            "chat.postMessage",
            channel=self._channel,
            **self._thread,
            blocks=message.blocks,
            text=message.text,
            metadata=self._metadata(number),
            unfurl_links=False,
            unfurl_media=False,
        )

    async def _posted_once(self, method: str, **body: Any) -> None:  # noqa: ANN401 - JSON
        """Post a message, and record it. Where it is not known whether it is there, the next attempt looks."""
        self.question = await self._in_thread(self._store.posting, self.question)
        reach("slack.posting")
        try:
            found = await self._web.call(method, **body)
        except SlackUnavailableError:
            raise
        except SlackError:
            self.question = await self._in_thread(self._store.posted, self.question, None)
            raise
        reach("slack.sent")
        self.question = await self._in_thread(self._store.posted, self.question, str(found["ts"]))
        reach("slack.posted")

    def _metadata(self, number: int) -> dict[str, Any]:
        return {"event_type": EVENT_TYPE, "event_payload": {"question": self.question.id, "part": number}}

    def _is_mine(self, message: dict[str, Any]) -> bool:
        """True for a message of ours that nothing is known of: of this question, or a stream, which has no metadata."""
        if message.get("user") != self._workspace.bot_user_id or message.get("ts") in self.question.posted.messages:
            return False
        metadata = message.get("metadata") or {}
        if not metadata.get("event_type"):
            return True
        payload = metadata.get("event_payload") or {}
        return metadata["event_type"] == EVENT_TYPE and payload.get("question") == self.question.id


def _unfinished(shown: str) -> dict[str, Any]:
    blocks: Blocks = note_message(shown[-2_500:]).blocks
    return blocks[0]
