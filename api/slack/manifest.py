"""The manifest of the Slack app, and the scopes that it requires.

Source: https://docs.slack.dev/reference/app-manifest, schema version 2.
"""

from typing import Any

NAME = "Leadline"
SHORTCUT = "leadline_answer"
# Purpose of each scope. If an optional scope is missing, the bot skips its feature and logs the missing scope.
SCOPES = {
    "assistant:write": "to show its progress and the stop button",
    "chat:write": "to answer",
    "app_mentions:read": "to receive messages that mention it",
    "channels:history": "to receive follow-up questions in threads of channels",
    "groups:history": "to receive follow-up questions in threads of private channels",
    "im:history": "to receive direct messages",
    "files:read": "to read files that are shared with it",
    "im:write": "to answer /ask in direct messages",
    "channels:read": "to list the members of a channel",
    "groups:read": "to list the members of a private channel",
    "commands": "for /ask and the shortcut",
    "users:read": "to look up who asks, and their language",
    "users:read.email": "to find the Leadline user with the same email address",
}
OPTIONAL_SCOPES = {"usergroups:read": "to share documents with user groups of Slack"}
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
_DESCRIPTION = "Answers questions from your documents, and shows the sources."
_LONG_DESCRIPTION = (
    "Ask in a channel, in a thread, in direct messages or with /ask, and share files to ask about them. Every answer "
    "uses only documents that all of its readers may see, and lists its sources with the page and the quoted words. A "
    "line says how many statements are proven. If the documents do not contain the answer, Leadline says so."
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
                    "description": "Ask your documents. The answer comes in a direct message.",
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
                    "description": "Answer this message in its thread",
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
