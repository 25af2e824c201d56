"""The adapter of Slack channels."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ingest.sources.errors import ItemGoneError, ItemUnchangedError, SourceRefusedError
from ingest.sources.port import OpenedItem, SourceChanges, SourceContext, SourceItem
from ingest.sources.slack_api import SlackApi
from ingest.sources.slack_channels import SlackOptions
from ingest.sources.slack_threads import Message, format_time, is_written, write_thread
from ingest.storage.accounts.people import build_mail_key
from ingest.storage.slack.members import build_channel_group, get_mail_address, is_address_confirmed

_DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class _Channel:
    id: str
    name: str
    readers: frozenset[str] | None


class SlackSource:
    """The threads of some channels of one workspace. `now` returns seconds since 1970."""

    def __init__(
        self,
        options: SlackOptions,
        context: SourceContext,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._options = options
        self._now = now
        token = options.token.get_secret_value()
        self._api = SlackApi(token, context.slack_api_url, timeout_seconds=context.timeout_seconds, sleep=sleep)
        self._channels: dict[str, _Channel] = {}
        self._names: dict[str, str] = {}

    def list_items(self) -> Iterator[SourceItem]:
        # All channels are checked first, so that a missing one is found before anything is read.
        for channel in [self._load_channel(each) for each in dict.fromkeys(self._options.channels)]:
            days = self._options.days
            oldest = {"oldest": f"{self._now() - days * _DAY_SECONDS:.6f}"} if days else {}
            for message in self._api.iter_pages("conversations.history", "messages", channel=channel.id, **oldest):
                is_reply = message.get("thread_ts") not in (None, message["ts"])
                if not is_reply and (message.get("reply_count") or is_written(message, self._own_user)):
                    with suppress(ItemGoneError):  # The thread was deleted in the meantime.
                        yield self._build_item(channel, message)

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        channel_id, _, ts = item.id.partition(":")
        channel = self._load_channel(channel_id)
        messages = self._load_thread(channel_id, ts)
        if not messages or messages[0]["ts"] != ts:
            raise ItemGoneError
        opened = self._build_item(channel, messages[0], messages[1:])
        if opened.version == known_version:
            raise ItemUnchangedError
        written = [each for each in messages if is_written(each, self._own_user)]
        if not written:
            raise ItemGoneError
        content = write_thread(channel.name, written, self._find_name).encode()
        yield OpenedItem(replace(opened, size_bytes=len(content)), iter([content]))

    def list_changes(self, cursor: str) -> SourceChanges | None:
        return None

    def close(self) -> None:
        """Slack's client keeps no connection open."""

    @cached_property
    def _identity(self) -> Mapping[str, Any]:
        return self._api.call("auth.test")

    @property
    def _own_user(self) -> str:
        return str(self._identity.get("user_id", ""))

    @cached_property
    def _users(self) -> dict[str, Mapping[str, Any]]:
        """The users of the workspace by id, reduced to their names and addresses."""
        found: dict[str, Mapping[str, Any]] = {}
        for user in self._api.iter_pages("users.list", "members"):
            flags = ("deleted", "is_bot", "is_stranger", "is_restricted", "is_email_confirmed", "team_id", "name")
            profile = user.get("profile") or {}
            kept = {name: profile.get(name) for name in ("email", "display_name", "real_name")}
            found[user["id"]] = {flag: user[flag] for flag in flags if flag in user} | {"profile": kept}
        return found

    def _load_channel(self, channel_id: str) -> _Channel:
        if channel_id not in self._channels:
            found = self._api.call("conversations.info", channel=channel_id).get("channel") or {}
            if found.get("is_im") or found.get("is_mpim"):
                raise SourceRefusedError(f"{channel_id} is a direct message. Only channels are read.", hint="")
            is_public = found.get("is_channel") and not found.get("is_private", True)
            # guard: source-slack-members
            readers = None if is_public else self._load_readers(channel_id)
            self._channels[channel_id] = _Channel(channel_id, str(found.get("name") or channel_id), readers)
        return self._channels[channel_id]

    def _load_readers(self, channel_id: str) -> frozenset[str]:
        """Return the group of the channel's members, which the Slack bot knows, and their mail addresses.

        Outside Slack, people are recognized by their verified addresses.
        """
        team_id = str(self._identity.get("team_id", ""))
        readers = {f"group:{build_channel_group(team_id, channel_id)}"}
        for member in self._api.iter_pages("conversations.members", "members", channel=channel_id):
            user = self._users.get(member, {})
            address = get_mail_address(user, team_id) if is_address_confirmed(user) else None
            key = build_mail_key(address) if address else None
            if key:
                readers.add(f"user:{key}")
        return frozenset(readers)

    def _load_thread(self, channel_id: str, ts: str) -> list[Message]:
        found = self._api.iter_pages("conversations.replies", "messages", channel=channel_id, ts=ts)
        return sorted({each["ts"]: each for each in found}.values(), key=lambda each: float(each["ts"]))

    def _build_item(self, channel: _Channel, first: Message, replies: list[Message] | None = None) -> SourceItem:
        """Describe a thread. Recent replies are loaded if not given, because Slack does not list their edits."""
        ts, latest = first["ts"], str(first.get("latest_reply") or first["ts"])
        version = [ts, first.get("edited", {}).get("ts"), first.get("text"), first.get("reply_count") or 0, latest]
        version.append([each.get("name") for each in first.get("files") or ()])
        if first.get("reply_count") and self._now() - float(latest) < self._options.recheck_days * _DAY_SECONDS:
            replies = self._load_thread(channel.id, ts)[1:] if replies is None else replies
            version += [[each["ts"], each.get("edited", {}).get("ts"), each.get("text")] for each in replies]
        author = self._find_name(first)
        return SourceItem(
            f"{channel.id}:{ts}",
            f"{channel.name} {format_time(ts).replace(':', '.')} {author}.md".replace("/", "_"),
            hashlib.sha256(repr(version).encode()).hexdigest(),
            media_type="text/markdown",
            path=f"#{channel.name}",
            url=f"{self._identity.get('url', '')}archives/{channel.id}/p{ts.replace('.', '')}",
            author=author,
            modified_at=max(float(latest), float(first.get("edited", {}).get("ts") or 0)),
            readers=channel.readers,
        )

    def _find_name(self, message: Message) -> str:
        """Return the name that Slack shows for the author of a message."""
        identifier = str(message.get("user") or "")
        if not identifier:
            return str(message.get("username") or message.get("bot_id") or "Slack")
        if identifier not in self._names:
            user = self._users.get(identifier, {})
            profile = user.get("profile") or {}
            name = profile.get("display_name") or profile.get("real_name") or user.get("name") or identifier
            self._names[identifier] = " ".join(str(name).split())
        return self._names[identifier]
