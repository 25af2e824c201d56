"""The manifest of the Slack app, and the scopes that it requires.

Source: https://docs.slack.dev/reference/app-manifest, schema version 2.
"""

from typing import Any

NAME = "Leadline"
SHORTCUT = "leadline_answer"
# Purpose of each scope. If an optional scope is missing, the bot skips its feature and logs the missing scope.
SCOPES = {
    "assistant:write": "to show what it is doing, and its stop button",
    "chat:write": "to answer",
    "app_mentions:read": "to hear its name",
    "channels:history": "to hear follow-ups in threads of channels",
    "groups:history": "to hear follow-ups in threads of private channels",
    "im:history": "to hear direct messages",
    "files:read": "to read files that are shared with it",
    "im:write": "to answer /ask in direct messages",
    "channels:read": "to know who reads a channel",
    "groups:read": "to know who reads a private channel",
    "commands": "for /ask and the shortcut",
    "users:read": "to know who asks",
    "users:read.email": "to know which user of yours that is",
}
OPTIONAL_SCOPES = {"usergroups:read": "to open documents to user groups of Slack"}
_EVENTS = [
    "agent_session_stopped",
    "app_home_opened",
    "app_mention",
    "app_uninstalled",
    "file_deleted",
    "message.channels",
    "message.groups",
    "message.im",
    "tokens_revoked",
]
_DESCRIPTION = "Answers from your documents, with sources that were checked."
_LONG_DESCRIPTION = (
    "Ask in a channel, in a thread, in direct messages or with /ask, and share files to ask about. Every answer comes "
    "from the documents that everybody who reads it may see, and has numbered sources with the page and the words "
    "they rest on. Sentences that their sources do not support are marked, and what the documents do not say is said."
)


def build_manifest(public_url: str | None, *, socket_mode: bool) -> dict[str, Any]:
    """Build the manifest. Without Socket Mode, events are sent to `public_url`.

    Raises `ValueError` if Socket Mode is not used and `public_url` is None.
    """
    if not socket_mode and public_url is None:
        raise ValueError("events over HTTP require the service's address")
    url = None if socket_mode else f"{str(public_url).rstrip('/')}/slack/events"
    address = {} if url is None else {"request_url": url}
    return {
        "_metadata": {"major_version": 2},
        "display_information": {
            "name": NAME,
            "description": _DESCRIPTION,
            "long_description": _LONG_DESCRIPTION,
            "background_color": "#1f3a5f",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": NAME, "always_online": True},
            "agent_view": {
                "agent_description": _DESCRIPTION,
                "suggested_prompts": [
                    {"title": "Get an overview", "message": "What are these documents about?"},
                    {
                        "title": "Find deadlines",
                        "message": "Which of these documents mention a deadline, and when is it?",
                    },
                ],
            },
            "slash_commands": [
                {
                    "command": "/ask",
                    "description": "Ask your documents; the answer comes in direct messages",
                    "usage_hint": "What did we promise to Acme?",
                    "should_escape": True,
                    **({} if url is None else {"url": url}),
                }
            ],
            "shortcuts": [
                {
                    "name": "Answer with Leadline",
                    "type": "message",
                    "callback_id": SHORTCUT,
                    "description": "Answers this message in its thread",
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES), "bot_optional": list(OPTIONAL_SCOPES)}},
        "settings": {
            "event_subscriptions": {**address, "bot_events": _EVENTS},
            "interactivity": {"is_enabled": True, **address},
            "org_deploy_enabled": False,
            "socket_mode_enabled": socket_mode,
            "token_rotation_enabled": False,
        },
    }
