"""Slack channels as a source, against a double of Slack's Web API over HTTP."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import pytest

from ingest.sources.errors import (
    ItemGoneError,
    ItemUnchangedError,
    SourceOptionsError,
    SourceRefusedError,
    SourceUnavailableError,
)
from ingest.sources.port import Source, SourceContext, SourceItem
from ingest.sources.registry import SOURCE_KINDS
from ingest.sources.slack_channels import SlackOptions
from ingest.sources.slack_source import SlackSource
from ingest.storage.webhooks.destinations import Destinations
from tests.contract.source_contract import Place, SourceContract
from tests.support.mapped_source import MappedSource
from tests.support.slack_double import BOT_TOKEN, Fault, SlackDouble, slack_double
from tests.support.slack_posts import BOT
from tests.support.slack_sender import TEAM

_QUAY = "C0QUAY"
_NOW = 1_796_000_000.0
_message = re.compile(r"\A# .*\n\n\*\*.*\*\* · .*\n\n(?P<name>[^\n]*)\n(?P<content>.*)\n\Z", re.DOTALL)


def find_file(document: bytes) -> tuple[str, bytes]:
    """The first line of a message is the name, the others are the content."""
    found = _message.match(document.decode())
    assert found is not None
    return found["name"], found["content"].encode()


@dataclass
class SlackPlace:
    double: SlackDouble
    server: ExitStack
    context: SourceContext
    messages: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, content: bytes) -> None:
        text = escape(f"{name}\n{content.decode()}", quote=False)  # Slack stores `&`, `<` and `>` in this form.
        if name in self.messages:
            self.double.edits_message(_QUAY, self.messages[name], text)
        else:
            self.messages[name] = str(self.double.says("U0ANN", _QUAY, text)["event"]["ts"])

    def remove(self, name: str) -> None:
        self.double.deletes_message(_QUAY, self.messages.pop(name))

    def stop(self) -> None:
        self.server.close()

    def open(self) -> AbstractContextManager[Source]:
        kind = SOURCE_KINDS["slack"]
        source = kind.build(kind.options(token=BOT_TOKEN, channels=[_QUAY]), self.context)
        return closing(MappedSource(source, find_file))


@pytest.fixture
def server() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def double(server: ExitStack) -> SlackDouble:
    double = server.enter_context(slack_double())
    double.person("U0ANN", "Ann@Harbour.example")
    double.person("U0BOB", "bob@harbour.example")
    double.people["U0ANN"]["profile"]["display_name"] = "Ann"
    double.people["U0GUEST"] = {"is_restricted": True, "profile": {"email": "guest@else.example"}}
    double.people["U0NEW"] = {"is_email_confirmed": False, "profile": {"email": "new@harbour.example"}}
    double.channel(_QUAY, "U0ANN", "U0BOB", "U0GUEST", "U0NEW", kind="group")
    return double


@pytest.fixture
def context(double: SlackDouble, tmp_path: Path) -> SourceContext:
    return SourceContext(Destinations(), tmp_path, timeout_seconds=5, slack_api_url=double.url)


class TestSlack(SourceContract):
    @pytest.fixture
    def place(self, double: SlackDouble, server: ExitStack, context: SourceContext) -> Place:
        return SlackPlace(double, server, context)


def open_slack(
    context: SourceContext, waits: list[float] | None = None, now: float = _NOW, days: int = 0
) -> SlackSource:
    found = SlackOptions(token=BOT_TOKEN, channels=[_QUAY], days=days)
    return SlackSource(found, context, sleep=(waits if waits is not None else []).append, now=lambda: now)


def list_threads(context: SourceContext, now: float = _NOW, days: int = 0) -> list[SourceItem]:
    return list(open_slack(context, now=now, days=days).list_items())


def read_thread(context: SourceContext, item: SourceItem, known: str = "") -> str:
    with open_slack(context).open_item(item, known) as opened:
        assert opened.item.version == item.version
        return b"".join(opened.blocks).decode()


def test_a_thread_is_a_document_with_names_and_times(double: SlackDouble, context: SourceContext) -> None:
    double.clock = lambda: _NOW
    first = double.says(
        "U0ANN", _QUAY, "Ask <@U0BOB> in <#C0PIER|pier> &amp; read <https://a.org/x|the manual> &lt;now&gt;"
    )
    thread = first["event"]["ts"]
    double.says("U0BOB", _QUAY, "Valve *7* is <!here|@here> open", thread=thread)
    double.shares("U0ANN", _QUAY, double.uploads("U0ANN", "plan.pdf", b"%PDF"), thread=thread)
    double.says(BOT, _QUAY, "An answer of the bot", thread=thread)
    double.says(BOT, _QUAY, "A message of the bot")
    (item,) = list_threads(context)
    assert read_thread(context, item) == (
        "# #c0quay: Ask @U0BOB in #pier & read [the manual](https://a.org/x) <now>\n"
        "\n**Ann** · 2026-11-30 00:53 UTC\n\nAsk @U0BOB in #pier & read [the manual](https://a.org/x) <now>\n"
        "\n**U0BOB** · 2026-11-30 00:53 UTC\n\nValve *7* is @here open\n"
        "\n**Ann** · 2026-11-30 00:53 UTC\n\n[File: plan.pdf]\n"
    )
    assert (item.author, item.path) == ("Ann", "#c0quay")
    assert item.url == f"https://harbour.slack.com/archives/{_QUAY}/p{thread.replace('.', '')}"


def test_replies_and_edits_and_deletions_change_the_version(double: SlackDouble, context: SourceContext) -> None:
    double.clock = lambda: _NOW
    thread = double.says("U0ANN", _QUAY, "one")["event"]["ts"]
    versions = [list_threads(context)[0].version]

    def is_new_version() -> bool:
        (item,) = list_threads(context)
        assert read_thread(context, item)
        with pytest.raises(ItemUnchangedError):
            read_thread(context, item, item.version)
        versions.append(item.version)
        return versions[-1] != versions[-2]

    reply = double.says("U0BOB", _QUAY, "two", thread=thread)["event"]["ts"]
    assert is_new_version()
    double.edits_message(_QUAY, reply, "2")
    assert is_new_version()
    double.edits_message(_QUAY, thread, "1")
    assert is_new_version()
    second = double.says("U0BOB", _QUAY, "three", thread=thread)["event"]["ts"]
    assert is_new_version()
    double.deletes_message(_QUAY, second)
    assert is_new_version()
    double.deletes_message(_QUAY, thread)  # leaves a tombstone
    assert is_new_version()
    assert "1" not in read_thread(context, list_threads(context)[0]).splitlines()


def test_old_threads_are_not_read_to_find_edits(double: SlackDouble, context: SourceContext) -> None:
    double.clock = lambda: _NOW
    thread = double.says("U0ANN", _QUAY, "one")["event"]["ts"]
    double.says("U0BOB", _QUAY, "two", thread=thread)
    list_threads(context, now=_NOW + 86_400 * 31)
    assert double.calls["conversations.replies"] == 0
    assert list_threads(context, now=_NOW + 86_400 * 31, days=30) == []


def test_more_messages_than_a_page_are_listed(double: SlackDouble, context: SourceContext) -> None:
    for n in range(450):
        double.says("U0ANN", _QUAY, f"message {n}")
    assert len({item.id for item in list_threads(context)}) == 450


def test_the_members_of_a_private_channel_are_the_readers(double: SlackDouble, context: SourceContext) -> None:
    double.says("U0ANN", _QUAY, "one")
    group = f"group:slack-channel:{TEAM}:{_QUAY}"
    assert list_threads(context)[0].readers == frozenset(
        {group, "user:ann@harbour.example", "user:bob@harbour.example"}
    )
    double.leaves("U0BOB", _QUAY)
    (item,) = list_threads(context)
    assert item.readers == frozenset({group, "user:ann@harbour.example"})
    double.channels[_QUAY]["kind"] = "channel"
    assert list_threads(context)[0].readers is None


def test_a_channel_that_the_app_is_not_in_is_refused(double: SlackDouble, context: SourceContext) -> None:
    double.says("U0ANN", _QUAY, "one")
    (item,) = list_threads(context)
    double.leaves(BOT, _QUAY)
    for kind, reason in (("group", "channel_not_found"), ("channel", "not_in_channel")):
        double.channels[_QUAY]["kind"] = kind
        with pytest.raises(SourceRefusedError, match=reason):
            list_threads(context)
        with pytest.raises(SourceRefusedError, match=reason):
            read_thread(context, item)


def test_a_revoked_token_and_failures_of_slack_are_errors(double: SlackDouble, context: SourceContext) -> None:
    double.says("U0ANN", _QUAY, "one")
    cases = (("token_revoked", SourceRefusedError), ("internal_error", SourceUnavailableError))
    for reason, error in cases:
        double.faults["conversations.history"].append(Fault(error=reason))
        with pytest.raises(error, match=reason):
            list_threads(context)
    double.faults["conversations.history"].append(Fault(status=502))
    with pytest.raises(SourceUnavailableError, match="502"):
        list_threads(context)


def test_limits_of_the_rate_are_waited_for(double: SlackDouble, context: SourceContext) -> None:
    double.says("U0ANN", _QUAY, "one")
    double.faults["conversations.history"].extend([Fault(status=429, retry_after=30)] * 3)
    waits: list[float] = []
    assert len(list(open_slack(context, waits).list_items())) == 1
    assert waits == [30.0] * 3
    double.faults["conversations.history"].append(Fault(status=429, retry_after=86_400))
    with pytest.raises(SourceUnavailableError, match="limits"):
        list_threads(context)


def test_a_deleted_thread_is_gone(double: SlackDouble, context: SourceContext) -> None:
    double.says("U0ANN", _QUAY, "one")
    (item,) = list_threads(context)
    double.faults["conversations.replies"].append(Fault(error="thread_not_found"))
    with pytest.raises(ItemGoneError):
        read_thread(context, item)


def test_only_ids_of_channels_are_accepted(context: SourceContext) -> None:
    kind = SOURCE_KINDS["slack"]
    for channel in ("general", "D0ANN", "C0/../x"):
        with pytest.raises(SourceOptionsError, match="not the id of a channel"):
            kind.build(kind.options(token=BOT_TOKEN, channels=[channel]), context)
