"""The manifest of the Slack app, and the scopes that it requires.

Source: https://docs.slack.dev/reference/app-manifest, schema version 2.
"""

from typing import Any

from ingest.storage.remarks import Remark

NAME = "Leadline"
SHORTCUT = "leadline_answer"
# Purpose of each scope. If an optional scope is missing, the bot skips its feature and logs the missing scope.
SCOPES = {
    "assistant:write": Remark("slack_scope_assistant_write"),
    "chat:write": Remark("slack_scope_chat_write"),
    "app_mentions:read": Remark("slack_scope_app_mentions_read"),
    "channels:history": Remark("slack_scope_channels_history"),
    "groups:history": Remark("slack_scope_groups_history"),
    "im:history": Remark("slack_scope_im_history"),
    "files:read": Remark("slack_scope_files_read"),
    "im:write": Remark("slack_scope_im_write"),
    "channels:read": Remark("slack_scope_channels_read"),
    "groups:read": Remark("slack_scope_groups_read"),
    "commands": Remark("slack_scope_commands"),
    "users:read": Remark("slack_scope_users_read"),
    "users:read.email": Remark("slack_scope_users_read_email"),
}
OPTIONAL_SCOPES = {"usergroups:read": Remark("slack_scope_usergroups_read")}
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
