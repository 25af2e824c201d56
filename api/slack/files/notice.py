"""The reply that reports on the files in a Slack message.

It is posted exactly once, even if a process dies while posting, and then updated.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from api.http.threads import Threads
from api.slack.errors import SlackError, SlackRefusedError, SlackUnavailableError
from api.slack.replies.blocks import SlackMessage
from api.slack.web import SlackWeb
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.slack.files import SlackFiles
from ingest.storage.slack.records import FileShare, Workspace

EVENT_TYPE = "leadline_files"
# Maximum time by which Slack's clock may lag behind the service's clock.
_CLOCK_SKEW_SECONDS = 60.0
# Slack's error codes for messages that have been deleted or can no longer be edited.
_UNCHANGEABLE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"})


class FilesNotice:
    """Posts and updates the reply. All methods may raise `SlackError` or `LeaseLostError`."""

    def __init__(self, web: SlackWeb, store: SlackFiles, workspace: Workspace, threads: Threads) -> None:
        self._web = web
        self._store = store
        self._workspace = workspace
        self._threads = threads

    async def recover_reply(self, share: FileShare) -> FileShare:
        """Find and record the reply if a process died after posting it but before recording it."""
        if share.posting_since is None:
            return share
        shared = share.shared
        found = await self._web.call(
            "conversations.replies",
            channel=shared.channel,
            ts=shared.thread_ts,
            oldest=f"{share.posting_since - _CLOCK_SKEW_SECONDS:.6f}",
            limit=15,
            include_all_metadata=True,
        )
        own_messages = [each["ts"] for each in found.get("messages", ()) if self._is_for_share(share, each)]
        return await self._threads.run(
            self._store.record_posted_status, share, own_messages[0] if own_messages else None
        )

    async def show_message(self, share: FileShare, message: SlackMessage) -> FileShare:
        """Post or update the reply, unless it already has this content."""
        digest = hashlib.sha256(json.dumps(message.blocks).encode()).hexdigest()
        if digest == share.shown:
            return share
        if share.reply_ts is None or not await self._update_reply(share, message):
            share = await self._post_reply(share, message)
        return await self._threads.run(self._store.record_status_digest, share, digest)

    async def _update_reply(self, share: FileShare, message: SlackMessage) -> bool:
        """Update the reply. Returns False if it no longer exists or cannot be edited."""
        try:
            await self._web.call(
                "chat.update",
                channel=share.shared.channel,
                ts=share.reply_ts,
                blocks=message.blocks,
                text=message.text,
                metadata=_build_metadata(share),
            )
        except SlackRefusedError as error:
            if error.reason not in _UNCHANGEABLE:
                raise
            return False
        return True

    async def _post_reply(self, share: FileShare, message: SlackMessage) -> FileShare:
        """Post the reply and record it.

        If Slack's response is lost, the next attempt checks whether the reply was posted.
        """
        share = await self._threads.run(self._store.mark_posting_started, share)
        reach_fault_point("slack.file_posting")
        try:
            found = await self._web.call(
                "chat.postMessage",
                channel=share.shared.channel,
                thread_ts=share.shared.thread_ts,
                blocks=message.blocks,
                text=message.text,
                metadata=_build_metadata(share),
                # guard: slack-notices-not-unfurled
                unfurl_links=False,
                unfurl_media=False,
            )
        except SlackUnavailableError:
            raise
        except SlackError:
            await self._threads.run(self._store.record_posted_status, share, None)
            raise
        reach_fault_point("slack.file_posted")
        return await self._threads.run(self._store.record_posted_status, share, str(found["ts"]))

    def _is_for_share(self, share: FileShare, message: Mapping[str, Any]) -> bool:
        metadata = message.get("metadata") or {}
        payload = metadata.get("event_payload") or {}
        is_bots = message.get("user") == self._workspace.bot_user_id
        return is_bots and metadata.get("event_type") == EVENT_TYPE and payload.get("share") == share.id


def _build_metadata(share: FileShare) -> dict[str, Any]:
    return {"event_type": EVENT_TYPE, "event_payload": {"share": share.id}}
