"""Maps Slack users to principals, and computes the access rights that all members of a channel share."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from api.languages.catalogue import Texts, choose_language
from api.slack.errors import SlackError, SlackRefusedError
from api.slack.web import SlackWeb
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.slack.files import SlackFiles
from ingest.storage.slack.members import build_channel_group, get_mail_address, is_address_confirmed
from ingest.storage.slack.records import Surface, Workspace
from ingest.storage.slack.store import SlackStore

log = structlog.get_logger(__name__)

# Prefix of the names of groups from Slack. Without a prefix, a group created in Slack could access documents that are
# open to a Leadline group with the same name.
GROUP_PREFIX = "slack:"
# Maximum number of members of a channel whose groups are looked up. In larger channels, answers use no documents that
# are open only to groups.
MAX_MEMBERS = 100
# Time for which users and groups are cached. A user who leaves a group or channel keeps access for up to this time.
_CACHE_SECONDS = 300.0
# Time for which the list of channels with files is cached. An empty list is not cached, so that the first shared file
# is visible immediately.
_CLOSED_CHANNELS_SECONDS = 5.0
_SCOPES = frozenset({Scope.READ, Scope.ASK})


@dataclass(frozen=True)
class _Profile:
    """A user's profile in Slack: the address that identifies the Leadline user, and the locale, such as `de-DE`.

    `is_confirmed` is false if Slack says that the user has not confirmed the address.
    """

    email: str | None
    locale: str
    is_confirmed: bool = True


_NOBODY = _Profile(None, "")


class People:
    """Finds the principals for Slack users and channels, caching Slack's data for five minutes."""

    def __init__(self, store: SlackStore, files: SlackFiles, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._files = files
        self._clock = clock
        self._profiles: dict[tuple[str, str], tuple[float, _Profile]] = {}
        self._channels: dict[tuple[str, str], tuple[float, frozenset[str]]] = {}
        self._closed: dict[str, tuple[float, set[str]]] = {}
        self._groups: dict[str, tuple[float, dict[str, frozenset[str]]]] = {}

    async def fetch_user_principal(self, web: SlackWeb, workspace: Workspace, channel: str, user_id: str) -> Principal:
        """Return a principal with one user's access rights, for answers that only this user reads."""
        profile, groups = await self._fetch_profile_and_groups(web, workspace, user_id)
        groups |= await self._fetch_channel_groups(web, workspace, user_id)
        return self._load_principal(workspace, channel, profile, groups)

    async def fetch_channel_principal(self, web: SlackWeb, workspace: Workspace, channel: str) -> Principal:
        """Return a principal with the access rights that all members of a channel share.

        These rights cover documents open to the whole tenant, files shared in the channel itself, and documents open to
        groups that all members belong to. Groups are ignored if the members cannot be listed or there are more than
        `MAX_MEMBERS`.
        """
        own = build_channel_group(workspace.team_id, channel)
        try:
            members = [member async for member in web.iter_pages("conversations.members", "members", channel=channel)]
        except SlackRefusedError as error:
            log.info("cannot list channel members", channel=channel, reason=error.reason)
            members = []
        members = [member for member in members if member != workspace.bot_user_id]
        if not members or len(members) > MAX_MEMBERS:
            return self._load_principal(workspace, channel, _NOBODY, {own})
        people = [await self._fetch_member_principal(web, workspace, channel, member) for member in members]
        shared = frozenset.intersection(*(person.groups for person in people))
        return self._load_principal(workspace, channel, _NOBODY, shared | {own})

    async def fetch_principal(
        self, web: SlackWeb, workspace: Workspace, channel: str, user_id: str, surface: Surface
    ) -> Principal:
        """Return a principal with the access rights that all readers of an answer share."""
        if surface is Surface.DIRECT:
            return await self.fetch_user_principal(web, workspace, channel, user_id)
        return await self.fetch_channel_principal(web, workspace, channel)

    async def fetch_texts(self, web: SlackWeb, workspace: Workspace, user_id: str) -> Texts:
        """Return the texts in the language that a user has chosen in Slack, or in English if Slack does not tell it."""
        try:
            profile = await self._fetch_profile(web, workspace.team_id, user_id)
        except SlackError as error:
            log.info("cannot look up a user's language", user=user_id, error=str(error))
            return Texts(choose_language(None, None))
        return Texts(choose_language(None, profile.locale))

    async def _fetch_member_principal(
        self, web: SlackWeb, workspace: Workspace, channel: str, user_id: str
    ) -> Principal:
        return self._load_principal(workspace, channel, *await self._fetch_profile_and_groups(web, workspace, user_id))

    async def _fetch_profile_and_groups(
        self, web: SlackWeb, workspace: Workspace, user_id: str
    ) -> tuple[_Profile, frozenset[str]]:
        """Return a user's profile and user groups."""
        profile = await self._fetch_profile(web, workspace.team_id, user_id)
        return profile, (await self._fetch_user_groups(web, workspace.team_id)).get(user_id, frozenset())

    async def _fetch_channel_groups(self, web: SlackWeb, workspace: Workspace, user_id: str) -> frozenset[str]:
        """Return a user's channel groups, for channels whose files only members can see."""
        now = self._clock()
        closed_until, closed = self._closed.get(workspace.team_id, (0.0, set[str]()))
        if closed_until <= now:
            closed = await asyncio.to_thread(self._files.list_restricted_channels, workspace.team_id)
            if not closed:
                return frozenset()
            self._closed[workspace.team_id] = now + _CLOSED_CHANNELS_SECONDS, closed
        key = workspace.team_id, user_id
        cached = self._channels.get(key)
        if cached is None or cached[0] <= now:
            cached = self._channels[key] = (now + _CACHE_SECONDS, await self._fetch_joined_channels(web, user_id))
        # guard: slack-files-need-membership
        return frozenset(build_channel_group(workspace.team_id, each) for each in closed & cached[1])

    async def _fetch_joined_channels(self, web: SlackWeb, user_id: str) -> frozenset[str]:
        """Return a user's channels. Private channels are included only if the bot is a member too."""
        kinds = "public_channel,private_channel"
        try:
            pages = web.iter_pages("users.conversations", "channels", user=user_id, types=kinds)
            return frozenset([str(each["id"]) async for each in pages])
        except SlackRefusedError as error:
            log.info("cannot list a user's channels", user=user_id, reason=error.reason)
            return frozenset()

    def _load_principal(
        self, workspace: Workspace, channel: str, profile: _Profile, groups: Iterable[str]
    ) -> Principal:
        return self._store.build_principal(
            workspace, channel, profile.email, frozenset(groups), _SCOPES, is_confirmed=profile.is_confirmed
        )

    async def _fetch_profile(self, web: SlackWeb, team_id: str, user_id: str) -> _Profile:
        """Return a user's locale, and the email address that identifies the Leadline user.

        The address is None for guests, bots, deleted users and users from other workspaces.
        """
        key, now = (team_id, user_id), self._clock()
        cached = self._profiles.get(key)
        if cached is not None and cached[0] > now:
            return cached[1]
        user = (await web.call("users.info", user=user_id, include_locale=True)).get("user") or {}
        email = get_mail_address(user, team_id)
        profile = _Profile(email, str(user.get("locale") or ""), is_address_confirmed(user))
        self._profiles[key] = (now + _CACHE_SECONDS, profile)
        return profile

    async def _fetch_user_groups(self, web: SlackWeb, team_id: str) -> dict[str, frozenset[str]]:
        """Return each user's groups, keyed by user id. Empty if the app lacks the scope to list user groups."""
        cached, now = self._groups.get(team_id), self._clock()
        if cached is not None and cached[0] > now:
            return cached[1]
        try:
            found = (await web.call("usergroups.list", include_users=True)).get("usergroups") or []
        except SlackRefusedError as error:
            log.info("cannot list user groups", team=team_id, reason=error.reason)
            found = []
        by_user: dict[str, set[str]] = {}
        for group in found:
            for user in group.get("users") or ():
                by_user.setdefault(user, set()).add(f"{GROUP_PREFIX}{group['handle']}")
        groups_by_user = {user: frozenset(groups) for user, groups in by_user.items()}
        self._groups[team_id] = (now + _CACHE_SECONDS, groups_by_user)
        return groups_by_user
