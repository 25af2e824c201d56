"""The app's home tab, which explains the bot and lets members of a channel change the channel's settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from api.admission.services import Services
from api.http.threads import Threads
from api.languages.catalogue import Texts
from api.slack.errors import SlackRefusedError
from api.slack.people import People
from api.slack.web import OpenWeb, SlackWeb
from ingest.storage.slack.records import ChannelSettings, Workspace

CHOOSE, SETTINGS = "leadline_choose_channel", "leadline_channel_settings"
_STRATEGIES = ("auto", "direct", "table", "recursive")
_MAX_OPTIONS = 100  # Slack's maximum number of options in a menu.


def _build_text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


class HomeTab:
    """Handles events from the home tab."""

    def __init__(self, services: Services, people: People, open_web: OpenWeb, threads: Threads) -> None:
        self._served = services
        self._store = services.slack.store
        self._people = people
        self._open_web = open_web
        self._threads = threads

    def register_listeners(self, bolt: AsyncApp) -> None:
        bolt.event("app_home_opened")(self._on_home_opened)
        bolt.action(CHOOSE)(self._on_channel_chosen)
        bolt.view(SETTINGS)(self._on_settings_submitted)

    async def _on_home_opened(self, body: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        workspace = await self._load_workspace(body)
        if workspace is not None and event.get("tab") == "home":
            web = self._open_web(workspace)
            texts = await self._people.fetch_texts(web, workspace, str(event["user"]))
            view = build_home_view(self._served.settings.public_url, texts)
            await web.call("views.publish", user_id=event["user"], view=view)

    async def _on_channel_chosen(self, ack: AsyncAck, body: Mapping[str, Any]) -> None:
        await ack()
        workspace = await self._load_workspace(body)
        if workspace is None:
            return
        channel = str(body["actions"][0].get("selected_conversation") or "")
        web, user = self._open_web(workspace), str(body["user"]["id"])
        texts = await self._people.fetch_texts(web, workspace, user)
        if await is_member(web, workspace, channel, user):
            view = await self._build_form(web, workspace, channel, user, texts)
        else:
            view = _build_not_a_member_view(texts)
        await web.call("views.open", trigger_id=body["trigger_id"], view=view)

    async def _on_settings_submitted(self, ack: AsyncAck, body: Mapping[str, Any], view: Mapping[str, Any]) -> None:
        workspace, channel, user = (
            await self._load_workspace(body),
            str(view["private_metadata"]),
            str(body["user"]["id"]),
        )
        if workspace is not None and await is_member(self._open_web(workspace), workspace, channel, user):
            await self._threads.run(self._store.set_channel_settings, workspace, channel, parse_settings(view), user)
        await ack()

    async def _build_form(
        self, web: SlackWeb, workspace: Workspace, channel: str, user: str, texts: Texts
    ) -> dict[str, Any]:
        """Build the settings form, with the collections that the user can read from and add files to."""
        caller = await self._people.fetch_user_principal(web, workspace, channel, user)
        totals = await self._threads.run(self._served.accounts.grants.list_collections, workspace.tenant_id)
        names = [each.name for each in totals if caller.collections.can_read(each.name)]
        own = self._served.settings.slack_collection
        to = [name for name in dict.fromkeys([own, *names]) if caller.collections.can_write(name)]
        settings = await self._threads.run(self._store.load_channel_settings, workspace.team_id, channel)
        return build_settings_view(channel, settings, names, texts, to if self._served.settings.slack_files else [])

    async def _load_workspace(self, body: Mapping[str, Any]) -> Workspace | None:
        team = body.get("team_id") or (body.get("team") or {}).get("id")
        return None if team is None else await self._threads.run(self._store.find_workspace, str(team))


def build_home_view(public_url: str | None, texts: Texts) -> dict[str, Any]:
    """Build the view of the home tab."""
    about = [
        texts.translate(
            "Ask me in a channel by mentioning me, in direct messages, or with `/ask`. In a thread where I have "
            "answered, you can ask more without mentioning me. Each answer lists its sources, with the quoted words."
        ),
        texts.translate(
            "In a channel, I use only documents that all members may see. In direct messages, I use all documents that "
            "you may see."
        ),
        texts.translate(
            "To ask about a file, share it with me in direct messages, or in a channel in a message that mentions me."
        ),
    ]
    choose = {
        "type": "conversations_select",
        "action_id": CHOOSE,
        "placeholder": _build_text(texts.translate("Choose a channel")),
        "filter": {"include": ["public", "private"], "exclude_bot_users": True},
    }
    title = texts.translate("Settings of a channel")
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _build_text("Leadline")},
        {"type": "section", "text": {"type": "mrkdwn", "text": "\n\n".join(about)}},
        {"type": "section", "text": {"type": "mrkdwn", "text": f"*{title}*"}, "accessory": choose},
    ]
    if public_url is not None:
        button = {
            "type": "button",
            "text": _build_text(texts.translate("Open the library")),
            "url": f"{public_url}/library",
            "action_id": "open",
        }
        blocks.append({"type": "actions", "elements": [button]})
    return {"type": "home", "blocks": blocks}


def build_settings_view(
    channel: str,
    settings: ChannelSettings,
    question_collections: Sequence[str],
    texts: Texts,
    file_collections: Sequence[str] = (),
) -> dict[str, Any]:
    """Build the form for a channel's settings.

    Questions can use the collections in `question_collections`, and files can be added to those in `file_collections`.
    """
    offered = [*settings.collections, *(name for name in question_collections if name not in settings.collections)]
    blocks: list[dict[str, Any]] = []
    if offered:
        chosen = [_build_option(name, name) for name in settings.collections]
        menu = {
            "type": "multi_static_select",
            "action_id": "value",
            "placeholder": _build_text(texts.translate("All collections that all members may see")),
            "options": [_build_option(name, name) for name in offered[:_MAX_OPTIONS]],
            **({"initial_options": chosen} if chosen else {}),
        }
        blocks.append(_build_input("collections", texts.translate("Collections to search"), menu, is_optional=True))
    strategies = [_build_option(each, _describe_strategy(each, texts)) for each in _STRATEGIES]
    first = next((each for each in strategies if each["value"] == settings.strategy), strategies[0])
    radio = {"type": "radio_buttons", "action_id": "value", "options": strategies, "initial_option": first}
    only = _build_option("mention_only", texts.translate("Answer only messages that mention me, even in threads"))
    boxes: dict[str, Any] = {"type": "checkboxes", "action_id": "value", "options": [only]}
    if settings.mention_only:
        boxes["initial_options"] = [only]
    people: dict[str, Any] = {
        "type": "multi_users_select",
        "action_id": "value",
        "placeholder": _build_text(texts.translate("Everybody")),
    }
    if settings.askers:
        people["initial_users"] = list(settings.askers)
    blocks += [
        _build_input("strategy", texts.translate("How I find answers"), radio),
        _build_input("when", texts.translate("When I answer"), boxes, is_optional=True),
        _build_input("askers", texts.translate("Who may ask questions and share files"), people, is_optional=True),
    ]
    if file_collections or settings.files_to:
        blocks.append(
            _build_input(
                "files",
                texts.translate("Add every file that is shared in this channel"),
                _build_files_menu(settings, file_collections, texts),
                is_optional=True,
            )
        )
    return {
        "type": "modal",
        "callback_id": SETTINGS,
        "private_metadata": channel,
        "title": _build_text(texts.translate("Channel settings")),
        "submit": _build_text(texts.translate("Save")),
        "close": _build_text(texts.translate("Cancel")),
        "blocks": blocks,
    }


def _build_files_menu(settings: ChannelSettings, file_collections: Sequence[str], texts: Texts) -> dict[str, Any]:
    offered = dict.fromkeys([*([settings.files_to] if settings.files_to else []), *file_collections])
    menu: dict[str, Any] = {
        "type": "static_select",
        "action_id": "value",
        "placeholder": _build_text(texts.translate("Only files in messages that mention me")),
        "options": [_build_collection_option(name, texts) for name in list(offered)[:_MAX_OPTIONS]],
    }
    if settings.files_to:
        menu["initial_option"] = _build_collection_option(settings.files_to, texts)
    return menu


def parse_settings(view: Mapping[str, Any]) -> ChannelSettings:
    """Parse the channel settings from a submitted form."""
    values = {block: next(iter(fields.values())) for block, fields in view["state"]["values"].items()}
    strategy = (values["strategy"].get("selected_option") or {}).get("value", "auto")
    return ChannelSettings(
        tuple(each["value"] for each in (values.get("collections") or {}).get("selected_options") or ()),
        strategy if strategy in _STRATEGIES else "auto",
        bool((values.get("when") or {}).get("selected_options")),
        tuple((values.get("askers") or {}).get("selected_users") or ()),
        str(((values.get("files") or {}).get("selected_option") or {}).get("value", "")),
    )


async def is_member(web: SlackWeb, workspace: Workspace, channel: str, user_id: str) -> bool:
    """Return whether both the user and the bot are members of the channel."""
    try:
        members = [each async for each in web.iter_pages("conversations.members", "members", channel=channel)]
    except SlackRefusedError:
        return False
    return user_id in members and workspace.bot_user_id in members


def _build_not_a_member_view(texts: Texts) -> dict[str, Any]:
    text = texts.translate(
        "Only members of a channel can change its settings, and I must be a member too. To add me, write "
        "/invite @Leadline in the channel."
    )
    return {
        "type": "modal",
        "title": _build_text(texts.translate("Channel settings")),
        "close": _build_text(texts.translate("Close")),
        "blocks": [{"type": "section", "text": _build_text(text)}],
    }


def _describe_strategy(strategy: str, texts: Texts) -> str:
    match strategy:
        case "direct":
            return texts.translate("Read the best passages")
        case "table":
            return texts.translate("Compute over tables")
        case "recursive":
            return texts.translate("Work through all documents")
    return texts.translate("Automatic")


def _build_collection_option(name: str, texts: Texts) -> dict[str, Any]:
    return _build_option(name, texts.translate("To the collection {name}", name=name))


def _build_input(block_id: str, label: str, element: dict[str, Any], *, is_optional: bool = False) -> dict[str, Any]:
    return {
        "type": "input",
        "block_id": block_id,
        "label": _build_text(label),
        "element": element,
        "optional": is_optional,
    }


def _build_option(value: str, label: str) -> dict[str, Any]:
    return {"text": _build_text(label[:75]), "value": value[:150]}
