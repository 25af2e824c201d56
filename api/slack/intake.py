"""Decides which events are questions or files for the bot, and stores them before the event is acknowledged.

Nothing here waits for Slack, a model or a search. Events may be delivered repeatedly, late, out of order, and to any
process.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import structlog

from api.admission.services import Services
from ingest.storage.errors import LeadlineError, RunNotFoundError
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.slack.records import IncomingQuestion, IncomingShare, SharedFile, SlackQuestion, Surface, Workspace
from ingest.storage.slack.store import SlackStore

log = structlog.get_logger(__name__)

_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
_LINK = re.compile(
    r"<(?:#C[A-Z0-9]+\|([^>]*)|!(?:subteam\^[A-Z0-9]+\|)?([^>|]*)(?:\|[^>]*)?|([^>|]+)\|([^>]*)|([^>|]+))>"
)
# Subtypes of messages that people write. Messages with another subtype, such as edits, joins and bot messages, are not
# questions.
_PERSON_SUBTYPES = frozenset({None, "file_share", "thread_broadcast"})
_CHANGE_SUBTYPES = frozenset({"message_changed", "message_deleted"})
_DIRECT_TYPES = frozenset({"im"})
_NAME_CHARS = 255

Event = Mapping[str, Any]


class SlackIntake:
    """Accepts events from workspaces. Calls `wake` after storing a question or file."""

    def __init__(self, services: Services, store: SlackStore, wake: Callable[[], None]) -> None:
        self._served = services
        self._store = store
        self._files = services.slack.files
        self._wake = wake

    def accept_message(self, workspace: Workspace, event: Event, event_id: str) -> str | None:
        """Store the files and the question of a message to the bot. Returns the question's id, if any."""
        if event.get("subtype") in _CHANGE_SUBTYPES:
            self._record_removed_files(workspace, event)
        if event.get("subtype") not in _PERSON_SUBTYPES or event.get("bot_id") or not event.get("user"):
            return None
        if event["user"] == workspace.bot_user_id:
            return None
        channel, text, has_files = str(event["channel"]), str(event.get("text") or ""), bool(event.get("files"))
        is_for_us = self._is_for_bot(workspace, event, text)
        if not (is_for_us or has_files) or not self._can_ask(workspace.team_id, channel, str(event["user"])):
            return None
        if has_files and (is_for_us or self._store.load_channel_settings(workspace.team_id, channel).files_to):
            self._store_files(workspace, channel, event, str(event["user"]), is_participant=is_for_us)
        if not is_for_us or (has_files and not extract_question(text, workspace.bot_user_id)):
            return None
        direct = event.get("channel_type") in _DIRECT_TYPES
        message_ts = str(event["ts"])
        return self._store_question(
            IncomingQuestion(
                workspace.team_id,
                workspace.tenant_id,
                channel,
                str(event.get("thread_ts") or message_ts),
                message_ts,
                str(event["user"]),
                Surface.DIRECT if direct else Surface.CHANNEL,
                extract_question(text, workspace.bot_user_id),
            ),
            {f"event:{event_id}", f"message:{channel}:{message_ts}"},
        )

    def accept_command(self, workspace: Workspace, user_id: str, text: str, trigger_id: str) -> str | None:
        """Store the question of an `/ask` command, which is answered in a direct message. Returns its id, if stored."""
        question = extract_question(text, workspace.bot_user_id)
        asked = IncomingQuestion(
            workspace.team_id, workspace.tenant_id, user_id, "", trigger_id[:32], user_id, Surface.DIRECT, question
        )
        return self._store_question(asked, {f"command:{trigger_id}"})

    def accept_shortcut(self, workspace: Workspace, payload: Event) -> str | None:
        """Store a message as a question to answer in its thread, if the shortcut's user can ask there."""
        message, channel = payload["message"], str(payload["channel"]["id"])
        # guard: slack-shortcut-permission
        if not self._can_ask(workspace.team_id, channel, str(payload["user"]["id"])):
            return None
        self._store_files(workspace, channel, message, str(payload["user"]["id"]), is_participant=True)
        if message.get("files") and not extract_question(str(message.get("text") or ""), workspace.bot_user_id):
            return None
        direct = channel.startswith("D")
        return self._store_question(
            IncomingQuestion(
                workspace.team_id,
                workspace.tenant_id,
                channel,
                str(message.get("thread_ts") or message["ts"]),
                str(message["ts"]),
                str(payload["user"]["id"]),
                Surface.DIRECT if direct else Surface.CHANNEL,
                extract_question(str(message.get("text") or ""), workspace.bot_user_id),
            ),
            {f"shortcut:{payload['trigger_id']}", f"message:{channel}:{message['ts']}"},
        )

    def ask_confirmed_question(self, question: SlackQuestion, user_id: str, trigger_id: str) -> str | None:
        """Repeat a question that was rejected as too expensive, on behalf of the user who pressed the button."""
        asked = question.asked
        # guard: slack-button-permission
        if not trigger_id or not self._can_ask(asked.team_id, asked.channel, user_id):
            return None
        again = IncomingQuestion(
            asked.team_id,
            asked.tenant_id,
            asked.channel,
            asked.thread_ts,
            f"{asked.message_ts}+",
            user_id,
            asked.surface,
            asked.text,
            confirmed=True,
        )
        return self._store_question(again, {f"go_ahead:{question.id}"})

    def ask_question_privately(self, question: SlackQuestion, user_id: str, trigger_id: str) -> str | None:
        """Repeat a channel's question in direct messages, with the user's full access rights."""
        asked = question.asked
        again = IncomingQuestion(
            asked.team_id, asked.tenant_id, user_id, "", trigger_id[:32], user_id, Surface.DIRECT, asked.text
        )
        return self._store_question(again, {f"privately:{question.id}:{user_id}"})

    def cancel_thread_questions(self, workspace: Workspace, channel: str, thread_ts: str) -> int:
        """Cancel all unanswered questions in a thread, and return their number."""
        stopped = self._store.stop_questions(workspace.team_id, channel, thread_ts)
        for question in stopped:
            if question.run_id is not None:
                cancel_question_run(self._served, question)
        return len(stopped)

    def record_deleted_file(self, workspace: Workspace, event: Event) -> None:
        """Record that a file was deleted in Slack, so that the worker for its message handles the deletion."""
        if self._files.mark_file_deleted(workspace.team_id, str(event.get("file_id") or "")):
            self._wake()

    def _record_removed_files(self, workspace: Workspace, event: Event) -> None:
        """Record the files that were removed from a message because it was changed or deleted.

        If a deleted message has replies, Slack turns it into a tombstone instead.
        """
        channel, now = str(event["channel"]), event.get("message") or {}
        gone = 0
        if event.get("subtype") == "message_deleted":
            gone = self._record_removed_message(workspace, channel, event.get("deleted_ts"))
        elif now.get("subtype") == "tombstone":
            gone = self._record_removed_message(workspace, channel, now.get("ts"))
        for file in now.get("files") or ():
            if file.get("mode") == "tombstone":
                gone += self._files.mark_file_deleted(workspace.team_id, str(file.get("id")))
        if gone:
            self._wake()

    def _record_removed_message(self, workspace: Workspace, channel: str, message_ts: object) -> int:
        return self._files.mark_message_deleted(workspace.team_id, workspace.tenant_id, channel, str(message_ts))

    def _store_files(
        self, workspace: Workspace, channel: str, message: Event, user_id: str, *, is_participant: bool
    ) -> None:
        """Store the files of a message, if the settings permit files."""
        found = [each for each in message.get("files") or () if each.get("id")]
        if not found or not self._served.settings.slack_files:
            return
        message_ts = str(message["ts"])
        shared = IncomingShare(
            workspace.team_id,
            workspace.tenant_id,
            channel,
            str(message.get("thread_ts") or message_ts),
            message_ts,
            user_id,
        )
        files = {str(each["id"]): str(each.get("name") or each.get("title") or "") for each in found}
        shared_files = [SharedFile(identifier, name[:_NAME_CHARS]) for identifier, name in files.items()]
        if self._files.store_message(shared, shared_files, join_thread=is_participant):
            reach_fault_point("slack.files_stored")
            log.info("files stored", count=len(shared_files), channel=channel, team=workspace.team_id)
            self._wake()

    def _can_ask(self, team_id: str, channel: str, user_id: str) -> bool:
        return self._store.load_channel_settings(team_id, channel).can_ask(user_id)

    def _is_for_bot(self, workspace: Workspace, event: Event, text: str) -> bool:
        """Return whether a message is for the bot.

        These are direct messages, mentions of the bot, and follow-ups without mentions in a thread that the bot has
        joined, unless the channel requires mentions.
        """
        mentioned = set(_MENTION.findall(text))
        if event.get("channel_type") in _DIRECT_TYPES or workspace.bot_user_id in mentioned:
            return True
        channel, thread_ts = str(event["channel"]), event.get("thread_ts")
        if thread_ts is None or mentioned:
            return False
        if self._store.load_channel_settings(workspace.team_id, channel).mention_only:
            return False
        return self._store.has_joined_thread(workspace.team_id, channel, str(thread_ts))

    def _store_question(self, question: IncomingQuestion, idempotency_keys: Collection[str]) -> str | None:
        identifier = self._store.store_question(question, idempotency_keys)
        if identifier is not None:
            reach_fault_point("slack.accepted")
            log.info("question stored", question=identifier, channel=question.channel, team=question.team_id)
            self._wake()
        return identifier


def cancel_question_run(services: Services, question: SlackQuestion) -> None:
    """Cancel a question's run. Does nothing if the run no longer exists, and logs other errors."""
    try:
        services.answers.runs.cancel(question.asked.tenant_id, str(question.run_id))
    except RunNotFoundError:
        return
    except LeadlineError as error:
        log.warning("run not cancelled", run=question.run_id, code=error.code)


def extract_question(text: str, bot_user_id: str) -> str:
    """Extract the question as displayed, with links replaced by their labels and without the bot's mention."""

    def replace_link(match: re.Match[str]) -> str:
        channel, special, address, label, bare = match.groups()
        if channel is not None:
            return f"#{channel}"
        return special or label or bare or address or ""

    text = _MENTION.sub(lambda match: "" if match[1] == bot_user_id else match[0][2:-1].partition("|")[2], text)
    text = _LINK.sub(replace_link, text)
    return " ".join(text.split(" ")).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()
