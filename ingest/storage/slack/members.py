"""How members of Slack channels are named in access lists: as a group, and by their mail addresses."""

from collections.abc import Mapping
from typing import Any

_CHANNEL_PREFIX = "slack-channel:"


def build_channel_group(team_id: str, channel: str) -> str:
    """Build the name of the group of a channel's members, to which files shared in the channel are open."""
    return f"{_CHANNEL_PREFIX}{team_id}:{channel}"


def get_mail_address(user: Mapping[str, Any], team_id: str) -> str | None:
    """Return the address in a user's profile, as Slack describes the user.

    Returns None for guests, bots, deleted users and users from other workspaces.
    """
    is_stranger = any(user.get(flag) for flag in ("deleted", "is_bot", "is_stranger", "is_restricted"))
    is_other_team = user.get("team_id") not in (None, team_id)
    address = (user.get("profile") or {}).get("email")
    return str(address) if address and not is_stranger and not is_other_team else None


def is_address_confirmed(user: Mapping[str, Any]) -> bool:
    """Return whether Slack does not say that the user has not confirmed the address."""
    return user.get("is_email_confirmed") is not False
