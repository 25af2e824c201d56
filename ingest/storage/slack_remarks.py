"""The remarks about the setup of the Slack app: what was checked, what was found, and the next step."""

from collections.abc import Mapping

SLACK_REMARKS: Mapping[str, str | tuple[str, str]] = {
    # Names of the parts that are checked.
    "slack_address": "address",
    "slack_events": "events",
    "slack_bot_token": "bot token",
    "slack_app_token": "app-level token",
    "slack_token_of": "token of {workspace}",
    "slack_scope": "scope {scope}",
    # Results of the checks.
    "slack_not_set": "not set",
    "slack_none": "none",
    "slack_works": "works",
    "slack_missing": "missing",
    "slack_not_configured": "not configured",
    "slack_over_socket": "over Socket Mode",
    "slack_over_http": "over HTTP, at /slack/events",
    "slack_bot_in": "bot {bot} in {workspace}",
    "slack_refused": "Slack refused {method}: {reason}.",
    # The next step.
    "slack_step_install": "Install the app in a workspace, and set LEADLINE_SLACK_BOT_TOKEN.",
    "slack_step_app_token": (
        "Generate an app-level token with the scope connections:write at {page}, under Basic Information."
    ),
    "slack_step_address": "Set LEADLINE_PUBLIC_URL to the portal's address. Without it, sources are not links.",
    "slack_step_transport": "Set LEADLINE_SLACK_SIGNING_SECRET, or LEADLINE_SLACK_APP_TOKEN for Socket Mode.",
    "slack_step_reach": "Check that this machine can reach {address}, and try again.",
    "slack_step_token": "Copy the bot token again from {page}, under OAuth & Permissions.",
    "slack_step_scope": "Add {scope} ({reason}) under OAuth & Permissions, and reinstall the app.",
    # Purposes of the scopes.
    "slack_scope_assistant_write": "to show its progress and the stop button",
    "slack_scope_chat_write": "to answer",
    "slack_scope_app_mentions_read": "to receive messages that mention it",
    "slack_scope_channels_history": "to receive follow-up questions in threads of channels",
    "slack_scope_groups_history": "to receive follow-up questions in threads of private channels",
    "slack_scope_im_history": "to receive direct messages",
    "slack_scope_files_read": "to read files that are shared with it",
    "slack_scope_im_write": "to answer /ask in direct messages",
    "slack_scope_channels_read": "to list the members of a channel",
    "slack_scope_groups_read": "to list the members of a private channel",
    "slack_scope_commands": "for /ask and the shortcut",
    "slack_scope_users_read": "to look up who asks, and their language",
    "slack_scope_users_read_email": "to find the Leadline user with the same email address",
    "slack_scope_usergroups_read": "to share documents with user groups of Slack",
}
