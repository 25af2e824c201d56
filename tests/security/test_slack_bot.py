"""A model that does whatever a file says, and files with hostile names, in Slack: what the bot shows of it.

Files are shared with the bot, so they go the whole way: event, fetch, parser, index, model, reply. All that is sent to
Slack is looked at, also what is shown while an answer is written and then replaced.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from ingest.storage.slack.records import ChannelSettings
from retrieval.model_text import neutralize_tokens
from tests.security.injections import PAYLOADS, Injection, injections
from tests.support.cluster import wait_until
from tests.support.harbour import Harbour, Model, harbour
from tests.support.inert import faults_of_mrkdwn
from tests.support.scripted_openai import wanted_members
from tests.support.slack_double import BOT_TOKEN, SlackDouble, slack_double
from tests.support.slack_posts import BOT
from tests.support.slack_sender import SECRET, TEAM, Sender

pytestmark = pytest.mark.slow

PUBLIC_URL = "https://leadline.example.org"
CHANNEL = "C0TRAPS"
_ORDER = re.compile("«(.*?)»", re.DOTALL)
_OUR_LINK = re.compile(rf"<({re.escape(PUBLIC_URL)}/library/[0-9a-f-]{{36}}\?start=\d+&amp;end=\d+)\|")
_RICH = frozenset({"text", "raw_text", "link"})  # Elements of rich text, and of the cells of tables.
_MARKDOWN = MarkdownIt("gfm-like")
# Files of one message, few enough that a question about them is given all.
_AT_ONCE = 5


class Obedient(Model):
    """Writes what any text that it is shown tells it to, as router, judge and writer."""

    def __call__(self, request: dict[str, Any]) -> str:
        members = wanted_members(request)
        said = "\n\n".join(_ORDER.findall(str(request["messages"][-1]["content"])))
        if "question" in members:
            return json.dumps({"question": said or "What is said?"})
        if "strategy" in members:
            return json.dumps({"why": said or "It fits.", "strategy": "direct", "queries": [said[:200]]})
        if "verdicts" in members:
            return json.dumps({"verdicts": [{"sentence": 1, "support": "not_supported", "reason": said}]})
        return said or "Harbours are old [1]."


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackDouble]:
    with slack_double() as double:
        double.person("U0ANN", "ann@harbour.example")
        yield double


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, slack: SlackDouble) -> Iterator[Harbour]:
    settings = {"slack_signing_secret": SECRET, "slack_bot_token": BOT_TOKEN, "slack_api_url": slack.url}
    home: Path = tmp_path_factory.mktemp("traps") / "home"
    with harbour(home, Obedient(), **settings, public_url=PUBLIC_URL) as made:
        wait_until(lambda: made.services.slack.store.find_workspace(TEAM) is not None, what="Slack is connected")
        yield made


@pytest.fixture
def sender(served: Harbour) -> Iterator[Sender]:
    made = Sender(served.url)
    yield made
    made.close()


def quiet(served: Harbour) -> None:
    services = served.services
    counts = services.slack.store.count_open_questions, services.slack.files.count_open_shares
    wait_until(lambda: sum(count() for count in counts) == 0, seconds=300, what="everything has ended")


def faults(slack: SlackDouble) -> list[str]:
    """What is not inert in all that was sent to be shown, and what would be unfurled."""
    found: list[str] = []
    for method, body in slack.bodies:
        if method == "chat.postMessage" and (body.get("unfurl_links"), body.get("unfurl_media")) != (False, False):
            found.append(f"unfurled: {body}")
        shown = {
            name: body[name]
            for name in ("text", "markdown_text", "blocks", "chunks", "status", "title")
            if name in body
        }
        for kind, text in texts(shown):
            if kind == "url":
                if not text.startswith(f"{PUBLIC_URL}/"):
                    found.append(f"a button to {text!r}")
            elif kind == "markdown_text":
                found += faults_of_markdown(text)
            elif kind == "rich_text":  # No mrkdwn: entities and quotations are plain characters there.
                found += faults_of_mrkdwn(text.replace("&", "&amp;").replace(">", "&gt;"), ())
            elif kind == "image_url":
                found.append(f"an image of {text!r}")
            elif kind in ("text", "status", "title", "details", "output"):
                ours = [address.replace("&amp;", "&") for address in _OUR_LINK.findall(text)]
                found += faults_of_mrkdwn(text, ours)
    return found


def faults_of_markdown(text: str) -> list[str]:
    """What Markdown with links recognised in it makes of a draft, beside plain text and formatting."""
    found = [token.type for block in _MARKDOWN.parse(text) for token in [block, *(block.children or ())]]
    active = [kind for kind in found if kind in ("link_open", "image", "html_inline", "html_block")]
    return [f"{kind} in {text!r}" for kind in active] + re.findall(r"<[!@#]\w+|(?<!\w)[@#]\w+", text)


def texts(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON value, with the name of its member; text in `plain_text` objects is never more than text."""
    if isinstance(value, dict):
        if value.get("type") == "plain_text":
            return
        for each, member in value.items():
            kind = "markdown_text" if value.get("type") == "markdown_text" else each
            yield from texts(member, "rich_text" if each == "text" and value.get("type") in _RICH else kind)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each, name)
    elif isinstance(value, str):
        yield name, value


def share(slack: SlackDouble, served: Harbour, sender: Sender, channel: str, files: list[str], text: str) -> str:
    """Link a channel with a collection of its own, share files there with a question, and wait for all to end."""
    slack.channel(channel, "U0ANN")
    team = served.services.slack.store.find_workspace(TEAM)
    assert team is not None
    settings = ChannelSettings((channel,), "direct", files_to=channel)
    served.services.slack.store.set_channel_settings(team, channel, settings, "U0ANN")
    event = slack.shares("U0ANN", channel, *files, text=text)
    assert sender.event(event).status_code == 200
    return str(event["event"]["ts"])


def test_no_injection_gets_a_link_a_mention_an_image_or_an_unfurled_page_into_slack(
    slack: SlackDouble, served: Harbour, sender: Sender
) -> None:
    slack.bodies.clear()
    served.model.piece_seconds = 0.01
    everything = list(injections())[::7]  # each payload, and each carrier
    channels: dict[str, list[Injection]] = {}
    for at in range(0, len(everything), _AT_ONCE):
        channels[f"{CHANNEL}{at}"] = some = everything[at : at + _AT_ONCE]
        files = [slack.uploads("U0ANN", f"note-{at + n}.md", each.text.encode()) for n, each in enumerate(some)]
        share(slack, served, sender, channel=f"{CHANNEL}{at}", files=files, text=f"<@{BOT}> What of the harbours?")
    quiet(served)
    assert slack.refused == []
    assert faults(slack) == []
    obeyed = 0
    for channel, some in channels.items():
        (answer,) = [each for each in slack.replies(channel) if "ready" not in each.text]
        words = re.sub(r"\W", "", f"{answer.text}{answer.blocks}")
        obeyed += sum(re.sub(r"\W", "", neutralize_tokens(each.payload))[:12] in words for each in some)
    assert obeyed > len(everything) / 2, "the model did what most of them say"


def test_hostile_names_of_files_are_inert_in_the_thread(slack: SlackDouble, served: Harbour, sender: Sender) -> None:
    slack.bodies.clear()
    names = [*PAYLOADS, "<!channel> <@U0ANN> <#C0TRAPS|general>.md", "https://evil.test/a.md", "a\u202eb.md", "*_~`.md"]
    for number, name in enumerate(names):
        good = f"# Harbour {number}\n\nThe harbours of the north are old.\n".encode()
        content = (good, b"\x00\x01 of no known type", b"%PDF-1.7\n1 0 obj\nendobj\n" + good)[number % 3]
        file = slack.uploads("U0ANN", name.replace("\n", " "), content, title=name)
        slack.channel("C0NAMES", "U0ANN")
        assert sender.event(slack.shares("U0ANN", "C0NAMES", file, text=f"<@{BOT}>")).status_code == 200
    quiet(served)
    said = [each.text for each in slack.replies("C0NAMES")]
    assert len(said) == len(names)
    assert {"is ready", "was not added", "could not be read"} == {
        words for words in ("is ready", "was not added", "could not be read") if any(words in each for each in said)
    }
    assert faults(slack) == []
