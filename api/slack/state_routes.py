"""`/v1/slack`: the state of the Slack bot, and a check of its tokens and scopes."""

from typing import Literal

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.admission.access import Admin, ServicesDep
from api.admission.services import Services
from api.http.problems import BadRequestError
from api.settings.settings import Settings
from api.slack.manifest import SCOPES, build_manifest
from api.slack.state_schemas import (
    SlackChannelOut,
    SlackFindingList,
    SlackFindingOut,
    SlackManifestsOut,
    SlackStateOut,
    SlackWorkspaceOut,
)
from ingest.storage.remarks import convert_remark_to_json
from ingest.storage.slack.activity import ChannelActivity, InstalledWorkspace

router = APIRouter(prefix="/v1", tags=["slack"])


@router.get("/slack")
def get_slack_state(caller: Admin, services: ServicesDep) -> SlackStateOut:
    """Show whether the Slack bot is set up, your tenant's workspaces and channels, and what last happened in them.

    Nothing is requested from Slack. Tokens are never shown.
    """
    settings, activity = services.settings, services.slack.activity.load_activity(caller.tenant_id)
    return SlackStateOut.from_records(
        activity,
        is_set_up=settings.slack_is_set,
        transport=_get_transport(settings),
        public_url=settings.public_url,
        takes_files=settings.slack_files,
        collection=settings.slack_collection,
        workspaces=[_build_workspace(each) for each in activity.workspaces],
        channels=[_build_channel(each) for each in activity.channels],
        manifests=_build_manifests(settings),
    )


@router.post("/slack/check")
async def check_slack(caller: Admin, services: ServicesDep) -> SlackFindingList:
    """Check the addresses, tokens and scopes of the Slack app of your tenant's workspaces, by requests to Slack."""
    if not services.settings.slack_is_set:
        raise BadRequestError("The Slack bot is not set up.", hint="docs/slack.md explains the setup.")
    # Import lazily, because the extra `slack` is only needed for a service with the bot.
    from api.slack.checking import check_setup

    tokens = await run_in_threadpool(_load_tokens, services, caller.tenant_id)
    findings = await check_setup(services.settings, tokens)
    return SlackFindingList(
        findings=[
            SlackFindingOut.from_records(
                each,
                coded_what=convert_remark_to_json(each.what),
                coded_found=convert_remark_to_json(each.found),
                coded_next_step=convert_remark_to_json(each.next_step),
            )
            for each in findings
        ]
    )


def _get_transport(settings: Settings) -> Literal["http", "socket_mode"] | None:
    if settings.slack_app_token is not None:
        return "socket_mode"
    return None if settings.slack_signing_secret is None else "http"


def _build_workspace(workspace: InstalledWorkspace) -> SlackWorkspaceOut:
    missing = set(SCOPES) - set(workspace.scopes) if workspace.scopes else None
    return SlackWorkspaceOut.from_records(workspace, missing_scopes=missing)


def _build_channel(activity: ChannelActivity) -> SlackChannelOut:
    settings = activity.settings
    return SlackChannelOut.from_records(
        activity,
        collections=list(settings.searched_collections),
        files_to=settings.files_to or None,
        mention_only=settings.mention_only,
    )


def _build_manifests(settings: Settings) -> SlackManifestsOut:
    url = settings.public_url
    return SlackManifestsOut(
        http=None if url is None else build_manifest(url, socket_mode=False),
        socket_mode=build_manifest(url, socket_mode=True),
    )


def _load_tokens(services: Services, tenant_id: str) -> dict[str, str]:
    """Return the bot tokens of a tenant's workspaces, by the name of the setting or of the workspace."""
    from api.slack.installing import TokenCipher

    settings, tokens = services.settings, dict[str, str]()
    if settings.slack_bot_token is not None and settings.slack_tenant == tenant_id:
        tokens["LEADLINE_SLACK_BOT_TOKEN"] = settings.slack_bot_token.get_secret_value()
    if settings.slack_token_keys is not None:
        cipher = TokenCipher(settings.slack_token_keys.get_secret_value())
        for each in services.slack.store.list_workspaces(tenant_id):
            if each.token:
                tokens[each.name or each.team_id] = cipher.decrypt_text(each.token)
    return tokens
