"""Live progress in a thread while its question is being answered: cards for the steps, and the text so far.

Progress is shown as a Slack stream at first. The stream is closed before Slack would close it, and the same message is
then edited, because a new message every few minutes would notify users each time. If Slack rejects an update or is too
busy, the update is skipped.
"""

import time
from collections.abc import Callable
from typing import Any

import structlog

from api.answers.mrkdwn import escape_markdown, escape_mrkdwn
from api.slack.errors import SlackBusyError, SlackError, SlackRefusedError, SlackUnavailableError
from api.slack.replies.blocks import (
    SECTION_CHARS,
    Blocks,
    SlackMessage,
    build_context_block,
    build_section_block,
    split_mrkdwn,
)
from api.slack.replies.reply import Reply
from api.slack.replies.steps import Card, RunSteps, build_plan_block
from api.slack.web import SlackWeb
from ingest.storage.answers.run_records import RunEvent
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.slack.records import Surface

log = structlog.get_logger(__name__)

# Maximum duration of a stream. Slack itself closes streams after about five minutes.
STREAM_SECONDS = 240.0
# Intervals between updates of text, cards and edited messages. Slack accepts at least 100 stream chunks per minute and
# workspace, but only 50 edits. Text has the shortest interval, so that users can watch the answer being written.
_TEXT_SECONDS, _CARDS_SECONDS, _UPDATE_SECONDS = 1.0, 5.0, 10.0
# Time after which cards are shown. The status line is enough for the first ten seconds, because users keep their
# attention on a task for about that long (Nielsen, Usability Engineering, 1993, chapter 5).
CARDS_AFTER_SECONDS = 10.0
# Interval at which a status is renewed. Slack removes a status after two minutes:
# https://docs.slack.dev/reference/methods/assistant.threads.setStatus
_STATUS_SECONDS = 90.0
# Maximum sizes of a streamed message and of a draft in it. A streamed message can contain about 10,600 bytes, as
# measured in https://github.com/openclaw/openclaw/pull/143882
_STREAM_BYTES, _DRAFT_BYTES = 9_000, 6_000
_TITLE_CHARS = 200


class LiveProgress:
    """Shows the progress of a run from `start` to `end_stream`.

    `show` adds an event, and `refresh` updates the message if enough time has passed since the last update.
    """

    def __init__(self, reply: Reply, *, clock: Callable[[], float] = time.time) -> None:
        """Initialize the display. `clock` returns the Unix time in seconds."""
        self._reply = reply
        self._web = reply.web
        self._clock = clock
        self._asked_at = reply.question.created_at
        self._texts = reply.texts
        self._steps = RunSteps(reply.texts)
        self._draft = ""
        self._is_closed = False  # Whether the run uses a document that some reader may not see.
        self._waits = False
        self._may_stream = bool(reply.thread_ts) and not reply.messages
        self._is_left = reply.question.attempt > 1  # Whether a stream from an earlier attempt may still be open.
        self._has_cards = True
        self._streamed_since: float | None = None
        self._sent_bytes = 0
        self._sent: tuple[str, list[Card], str] = ("", [], "")
        self._shown_at = float("-inf")
        self.paused_at = 0.0  # The Unix time at which the run paused.
        self._is_gone = False  # Whether a user has deleted the message in Slack.
        self._status, self._status_at = "", float("-inf")

    async def start(self) -> None:
        """Show that the question is being answered, with Slack's stop button."""
        await self._set_session_state("processing")
        await self._set_status(self._texts.translate("is looking for the answer…"))

    def show_event(self, event: RunEvent) -> None:
        """Add the next event of the run to the displayed progress."""
        self._steps.add_event(event.kind, event.body)
        if event.kind == "paused":
            self.paused_at = event.created_at
        if event.kind == "draft":
            text = str(event.body.get("text", ""))
            self._draft = self._draft + text if event.body.get("from") else text

    def set_elapsed_seconds(self, elapsed_seconds: float) -> None:
        """Set the elapsed time to `elapsed_seconds`, to exclude the time for which the run was paused."""
        self._asked_at = self._clock() - elapsed_seconds

    @property
    def shows_text(self) -> bool:
        """True if text from the model is shown, which may quote documents."""
        return not self._is_closed and (bool(self._draft) or self._steps.has_model_titles)

    def hide_contents(self) -> None:
        """Stop showing titles and text from documents."""
        self._is_closed, self._shown_at = True, float("-inf")

    @property
    def done_titles(self) -> list[str]:
        """The titles of the run's steps so far."""
        return [card.title for card in self._steps.build_cards(hides_contents=self._is_closed)]

    async def refresh_message(self, *, is_queued: bool = False) -> None:
        """Show all changes since the last update, within Slack's rate limits.

        `is_queued` indicates that the run is queued.
        """
        self._waits = is_queued
        if self._steps.status:
            await self._set_status(self._steps.status)
        now = self._clock()
        view = self._build_progress_view()
        pause = _UPDATE_SECONDS
        if self._is_streaming:
            pause = _CARDS_SECONDS if view[2] == self._sent[2] else _TEXT_SECONDS
        if self._is_gone or view == self._sent or (self._reply.messages and now - self._shown_at < pause):
            return
        if not self._reply.messages and not view[2] and now - self._asked_at < CARDS_AFTER_SECONDS:
            return
        self._shown_at = now
        try:
            await self._draw_progress(*view)
        except SlackRefusedError as error:
            log.info("progress not shown", reason=error.reason)
            self._simplify_display()
        except SlackBusyError as error:
            self._may_stream = False
            self._shown_at = now + error.seconds
        except SlackUnavailableError as error:
            if self._reply.question.posted.since is not None:
                raise  # The next attempt finds out whether the message was posted.
            log.info("progress not shown", error=str(error))
            self._is_left, self._streamed_since = self._is_left or self._is_streaming, None

    async def end_stream(self) -> None:
        """Close the stream, if there is one and Slack has not already closed it."""
        self._is_left |= self._is_streaming
        self._streamed_since, self._may_stream = None, False
        if not self._reply.messages or not self._is_left:
            return
        # Complete all cards, because Slack shows incomplete cards as failed when their stream ends.
        # guard: slack-cards-completed
        done = (
            [
                card.build_chunk(is_first=False)
                for card in self._steps.build_cards(has_ended=True, hides_contents=self._is_closed)
            ]
            if self._has_cards
            else []
        )
        for chunks in [done, []] if done else [[]]:
            try:
                about = {"channel": self._reply.channel, "ts": self._reply.messages[0]}
                await self._web.call("chat.stopStream", **about, **({"chunks": chunks} if chunks else {}))
            except SlackRefusedError as error:
                log.debug("stream already ended, or without cards", reason=error.reason)
                continue
            break
        self._is_left = False

    def exceeded_stream_duration(self, ended_at: float | None) -> bool:
        """Return whether progress was shown for longer than `STREAM_SECONDS` until the run ended."""
        messages = self._reply.messages
        return bool(messages) and ended_at is not None and ended_at - float(messages[0]) > STREAM_SECONDS

    async def end_session(self) -> None:
        """Mark the thread's session as no longer processing, after the reply has been posted."""
        await self._set_session_state("active")

    def _simplify_display(self) -> None:
        """Choose a simpler display after Slack rejects an update: first without cards, then without a stream.

        A stream that Slack refuses to extend is closed.
        """
        if self._is_streaming:
            self._streamed_since, self._may_stream, self._is_left = None, False, True
        elif self._has_cards and not self._reply.messages:
            self._has_cards = False
        else:
            self._may_stream = False

    @property
    def _is_streaming(self) -> bool:
        return self._streamed_since is not None

    def _build_progress_view(self) -> tuple[str, list[Card], str]:
        """Build the title, the cards, and the draft up to its last complete word."""
        minutes = int(self._clock() - self._asked_at) // 60
        title = self._format_title(minutes)
        cards = self._steps.build_cards(hides_contents=self._is_closed)
        if self._is_closed:
            return title, cards, ""
        return title, cards, self._draft[: max(self._draft.rfind(" "), self._draft.rfind("\n")) + 1]

    def _format_title(self, minutes: int) -> str:
        texts = self._texts
        if not minutes:
            return texts.translate("Waiting in the queue") if self._waits else texts.translate("Looking for the answer")
        if self._waits:
            return texts.translate_count(
                minutes, "Waiting in the queue, after {n} minute", "Waiting in the queue, after {n} minutes"
            )
        return texts.translate_count(
            minutes, "Looking for the answer for {n} minute", "Looking for the answer for {n} minutes"
        )

    async def _draw_progress(self, title: str, cards: list[Card], draft: str) -> None:
        if self._streamed_since is not None:
            # guard: slack-stream-time
            is_over = self._clock() - self._streamed_since >= STREAM_SECONDS
            chunks = self._build_chunks(title, cards, draft)
            if (
                is_over
                or not draft.startswith(self._sent[2])
                or self._sent_bytes + _count_chunk_bytes(chunks) > _STREAM_BYTES
            ):
                await self.end_stream()
            elif chunks:
                await self._append_to_stream(chunks)
        if not self._is_streaming and self._reply.messages:
            if self._is_left:
                await self.end_stream()
            self._is_gone = not await self._reply.update_message(0, self._build_message(title, cards, draft))
        elif not self._is_streaming and (draft or self._has_cards):
            if self._may_stream:
                await self._start_stream(title, cards, draft)
            elif self._clock() - self._asked_at >= CARDS_AFTER_SECONDS:
                await self._reply.post_message(self._build_message(title, cards, draft), 0)
        self._sent = (title, cards, draft)

    def _build_chunks(self, title: str, cards: list[Card], draft: str) -> list[dict[str, Any]]:
        """Build the chunks for everything that is not yet in the stream."""
        chunks: list[dict[str, Any]] = []
        if self._has_cards:
            shown_cards = {card.id: card for card in self._sent[1]}
            chunks += [{"type": "plan_update", "title": title}] if title != self._sent[0] else []
            chunks += [
                card.build_chunk(is_first=card.id not in shown_cards)
                for card in cards
                if card != shown_cards.get(card.id)
            ]
        new = draft[len(self._sent[2]) :]
        return [*chunks, {"type": "markdown_text", "text": escape_markdown(new)}] if new else chunks

    async def _start_stream(self, title: str, cards: list[Card], draft: str) -> None:
        asked = self._reply.question.asked
        recipient = {"recipient_team_id": asked.team_id, "recipient_user_id": asked.user_id}
        if asked.surface is Surface.DIRECT:
            recipient = {}
        chunks = self._build_chunks(title, cards, draft)
        if _count_chunk_bytes(chunks) > _STREAM_BYTES:
            self._may_stream = False
            return
        await self._reply.post_message_once("chat.startStream", **self._build_content_arguments(chunks), **recipient)
        self._streamed_since, self._sent_bytes = self._clock(), _count_chunk_bytes(chunks)

    async def _append_to_stream(self, chunks: list[dict[str, Any]]) -> None:
        about = {"channel": self._reply.channel, "ts": self._reply.messages[0]}
        await self._web.call("chat.appendStream", **about, **self._build_content_arguments(chunks))
        self._sent_bytes += _count_chunk_bytes(chunks)
        reach_fault_point("slack.streaming")

    def _build_content_arguments(self, chunks: list[dict[str, Any]]) -> dict[str, Any]:
        """Build the method arguments for these chunks: as chunks if there are cards, otherwise as text.

        Mixing chunks and text in a stream fails with `streaming_mode_mismatch`.
        """
        if self._has_cards:
            return {"chunks": chunks, "task_display_mode": "plan"} if not self._is_streaming else {"chunks": chunks}
        return {"markdown_text": "".join(chunk["text"] for chunk in chunks)}

    def _build_message(self, title: str, cards: list[Card], draft: str) -> SlackMessage:
        """Build an ordinary message with the complete view, omitting the beginning of a long draft."""
        blocks: Blocks = (
            [build_plan_block(title, cards)] if cards and self._has_cards else [build_context_block(f"{title}.")]
        )
        tail = draft.encode()[-_DRAFT_BYTES:].decode(errors="ignore")
        mark = "…" if len(tail) < len(draft) else ""
        blocks += (
            [build_section_block(piece) for piece in split_mrkdwn(mark + escape_mrkdwn(tail), SECTION_CHARS)]
            if tail.strip()
            else []
        )
        return SlackMessage(blocks, self._texts.translate("Still working on the answer."))

    async def _set_status(self, text: str) -> None:
        """Set the thread's status line, if the thread can show one. Failures are ignored."""
        if not self._reply.thread_ts or (self._reply.messages and self._has_cards):
            return
        # guard: slack-status-renewed
        if text == self._status and self._clock() - self._status_at < _STATUS_SECONDS:
            return
        self._status, self._status_at = text, self._clock()
        await _call_ignoring_errors(
            self._web, "assistant.threads.setStatus", self._reply.channel, self._reply.thread_ts, status=text
        )

    async def _set_session_state(self, status: str) -> None:
        """Set the state of the thread's session, with the question as its title."""
        if self._reply.thread_ts:
            asked = self._reply.question.asked
            about = {"title": asked.text[:_TITLE_CHARS], "initiator_user_id": asked.user_id}
            await set_session_state(self._web, self._reply.channel, self._reply.thread_ts, status, **about)


async def set_session_state(web: SlackWeb, channel: str, thread_ts: str, status: str, **fields: str) -> None:
    """Set the state of a thread's session, which controls Slack's stop button. Failures are ignored."""
    await _call_ignoring_errors(web, "agents.sessions.setStatus", channel, thread_ts, status=status, **fields)


async def _call_ignoring_errors(web: SlackWeb, method: str, channel: str, thread_ts: str, **arguments: str) -> None:
    try:
        await web.call(method, channel_id=channel, thread_ts=thread_ts, **arguments)
    except SlackError as error:
        log.debug("session state not set", method=method, error=str(error))


def _count_chunk_bytes(chunks: list[dict[str, Any]]) -> int:
    """Return the size of these chunks in a streamed message, in bytes. The details of cards count twice."""
    return sum(
        len(str(value).encode()) * (2 if key == "details" else 1)
        for chunk in chunks
        for key, value in chunk.items()
        if key in ("title", "details", "text")
    )
