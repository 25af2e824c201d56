"""Checks the Slack app's tokens and scopes, and reports how to fix problems."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.settings.settings import Settings
from api.slack.errors import SlackError, SlackUnavailableError
from api.slack.manifest import OPTIONAL_SCOPES, SCOPES
from api.slack.web import SlackWeb

_PAGE = "https://api.slack.com/apps"


@dataclass(frozen=True)
class SlackFinding:
    """The result of a check. `next_step` is empty if there is no problem.

    If `needed` is false, the bot works even if the check fails.
    """

    what: str
    found: str
    next_step: str = ""
    needed: bool = True

    @property
    def is_wrong(self) -> bool:
        return bool(self.next_step) and self.needed


async def check_setup(settings: Settings, tokens: Mapping[str, str]) -> list[SlackFinding]:
    """Run all checks of the Slack setup. `tokens` contains the bot tokens, keyed by display name."""
    found = [_check_address(settings), _check_transport(settings)]
    for name, token in tokens.items():
        found += await _check_token(name, SlackWeb(token, settings.slack_api_url))
    if not tokens:
        found.append(
            SlackFinding("bot token", "none", "Install the app in a workspace, and set LEADLINE_SLACK_BOT_TOKEN.")
        )
    if settings.slack_app_token is not None:
        web = SlackWeb(settings.slack_app_token.get_secret_value(), settings.slack_api_url)
        try:
            await web.call("apps.connections.open")
            found.append(SlackFinding("app-level token", "works"))
        except SlackError as error:
            step = f"Generate an app-level token with the scope connections:write at {_PAGE}, under Basic Information."
            found.append(SlackFinding("app-level token", error.detail, step))
    return found


def _check_address(settings: Settings) -> SlackFinding:
    if settings.public_url is None:
        step = "Set LEADLINE_PUBLIC_URL to the portal's address. Without it, sources are not links."
        return SlackFinding("address", "not set", step, needed=settings.slack_app_token is None)
    return SlackFinding("address", settings.public_url)


def _check_transport(settings: Settings) -> SlackFinding:
    if settings.slack_app_token is not None:
        return SlackFinding("events", "over Socket Mode")
    if settings.slack_signing_secret is None:
        step = "Set LEADLINE_SLACK_SIGNING_SECRET, or LEADLINE_SLACK_APP_TOKEN for Socket Mode."
        return SlackFinding("events", "not configured", step)
    return SlackFinding("events", "over HTTP, at /slack/events")


async def _check_token(name: str, web: SlackWeb) -> list[SlackFinding]:
    try:
        who, scopes = await web.fetch_identity()
    except SlackUnavailableError as error:
        return [
            SlackFinding(
                f"token of {name}", error.detail, f"Check that this machine can reach {web.url}, and try again."
            )
        ]
    except SlackError as error:
        step = f"Copy the bot token again from {_PAGE}, under OAuth & Permissions."
        return [SlackFinding(f"token of {name}", error.detail, step)]
    found = [SlackFinding(f"token of {name}", f"bot {who.get('user', who.get('user_id'))} in {who.get('team')}")]
    for scope, reason in {**SCOPES, **OPTIONAL_SCOPES}.items():
        if scope not in scopes:
            step = f"Add {scope} ({reason}) under OAuth & Permissions, and reinstall the app."
            found.append(SlackFinding(f"scope {scope}", "missing", step, needed=scope in SCOPES))
    return found
