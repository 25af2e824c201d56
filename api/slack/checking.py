"""Checks the Slack app's tokens and scopes, and reports how to fix problems."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.settings.settings import Settings
from api.slack.errors import SlackError, SlackRefusedError, SlackUnavailableError
from api.slack.manifest import OPTIONAL_SCOPES, SCOPES
from api.slack.web import SlackWeb
from ingest.storage.remarks import Remark

_PAGE = "https://api.slack.com/apps"


@dataclass(frozen=True)
class SlackFinding:
    """The result of a check, in remarks where the words are Leadline's. `next_step` is empty if there is no problem.

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
        found.append(SlackFinding(Remark("slack_bot_token"), Remark("slack_none"), Remark("slack_step_install")))
    if settings.slack_app_token is not None:
        web = SlackWeb(settings.slack_app_token.get_secret_value(), settings.slack_api_url)
        try:
            await web.call("apps.connections.open")
            found.append(SlackFinding(Remark("slack_app_token"), Remark("slack_works")))
        except SlackError as error:
            step = Remark("slack_step_app_token", page=_PAGE)
            found.append(SlackFinding(Remark("slack_app_token"), _describe_error(error), step))
    return found


def _check_address(settings: Settings) -> SlackFinding:
    if settings.public_url is None:
        step = Remark("slack_step_address")
        return SlackFinding(
            Remark("slack_address"), Remark("slack_not_set"), step, needed=settings.slack_app_token is None
        )
    return SlackFinding(Remark("slack_address"), settings.public_url)


def _check_transport(settings: Settings) -> SlackFinding:
    if settings.slack_app_token is not None:
        return SlackFinding(Remark("slack_events"), Remark("slack_over_socket"))
    if settings.slack_signing_secret is None:
        step = Remark("slack_step_transport")
        return SlackFinding(Remark("slack_events"), Remark("slack_not_configured"), step)
    return SlackFinding(Remark("slack_events"), Remark("slack_over_http"))


async def _check_token(name: str, web: SlackWeb) -> list[SlackFinding]:
    checked = Remark("slack_token_of", workspace=name)
    try:
        who, scopes = await web.fetch_identity()
    except SlackUnavailableError as error:
        return [SlackFinding(checked, error.detail, Remark("slack_step_reach", address=web.url))]
    except SlackError as error:
        step = Remark("slack_step_token", page=_PAGE)
        return [SlackFinding(checked, _describe_error(error), step)]
    bot, workspace = str(who.get("user", who.get("user_id"))), str(who.get("team"))
    found = [SlackFinding(checked, Remark("slack_bot_in", bot=bot, workspace=workspace))]
    for scope, reason in {**SCOPES, **OPTIONAL_SCOPES}.items():
        if scope not in scopes:
            step = Remark("slack_step_scope", scope=scope, reason=reason)
            found.append(
                SlackFinding(Remark("slack_scope", scope=scope), Remark("slack_missing"), step, needed=scope in SCOPES)
            )
    return found


def _describe_error(error: SlackError) -> str:
    if isinstance(error, SlackRefusedError):
        return Remark("slack_refused", method=error.method, reason=error.reason)
    return error.detail
