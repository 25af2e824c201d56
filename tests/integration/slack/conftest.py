"""A service with the bot in a workspace of Slack's double; each test has a channel of its own."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cluster import wait_until
from tests.support.harbour import Harbour, Model, harbour
from tests.support.slack_double import BOT_TOKEN, SlackDouble, slack_double
from tests.support.slack_posts import Posted
from tests.support.slack_sender import SECRET, TEAM, Sender

PUBLIC_URL = "https://leadline.example.org"
METRICS_TOKEN = "a-token-for-prometheus"
_numbers = itertools.count(1)


@dataclass
class Workspace:
    """What a test talks to. `channel` is new, and has Ann and Bob in it; `direct` is Ann's with the bot."""

    slack: SlackDouble
    harbour: Harbour
    sender: Sender
    model: Model
    channel: str
    direct: str

    def says(self, user: str, text: str, *, channel: str | None = None, thread: str | None = None) -> str:
        """Say something, and return the message's timestamp once the bot has acknowledged it."""
        event = self.slack.says(user, channel or self.channel, text, thread=thread)
        assert self.sender.event(event).status_code == 200
        return str(event["event"]["ts"])

    def finals(self, channel: str | None = None, thread: str | None = None) -> list[Posted]:
        """The bot's whole replies."""
        return [each for each in self.slack.replies(channel or self.channel, thread) if each.is_whole]

    def answered(self, thread: str | None = None, *, channel: str | None = None, count: int = 1) -> list[Posted]:
        """Wait for so many whole replies, and until nothing is under way."""
        wait_until(lambda: len(self.finals(channel, thread)) >= count, what=f"{count} replies")
        self.quiet()
        return self.finals(channel, thread)

    def shares(
        self, user: str, *files: str, text: str = "", channel: str | None = None, thread: str | None = None
    ) -> str:
        """Share files, and return the message's timestamp once the bot has acknowledged it."""
        event = self.slack.shares(user, channel or self.channel, *files, text=text, thread=thread)
        assert self.sender.event(event).status_code == 200
        return str(event["event"]["ts"])

    def hurries(self) -> None:
        """Have the model write at once what it has not written yet."""
        self.harbour.model.piece_seconds = 0.0

    def quiet(self) -> None:
        """Wait until no question or file waits or is being worked on."""
        services = self.harbour.services
        open_ones = services.slack.store.count_open_questions, services.slack.files.count_open_shares
        wait_until(lambda: sum(count() for count in open_ones) == 0, what="everything has ended")


@pytest.fixture(scope="package")
def model() -> Model:
    return Model()


@pytest.fixture(scope="package")
def slack() -> Iterator[SlackDouble]:
    with slack_double() as double:
        double.person("U0ANN", "ann@harbour.example")
        double.person("U0BOB", "bob@harbour.example")
        yield double


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory, slack: SlackDouble, model: Model) -> Iterator[Harbour]:
    home: Path = tmp_path_factory.mktemp("slack") / "home"
    with harbour(
        home,
        model,
        slack_signing_secret=SECRET,
        slack_bot_token=BOT_TOKEN,
        slack_api_url=slack.url,
        public_url=PUBLIC_URL,
        metrics_token=METRICS_TOKEN,
    ) as made:
        wait_until(lambda: made.services.slack.store.find_workspace(TEAM) is not None, what="Slack is connected")
        yield made


@pytest.fixture
def workspace(
    served: Harbour, slack: SlackDouble, model: Model, no_drafts: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    """Nothing is shown before the reply, however long a busy machine takes for it, except to `who_reads_along`."""
    monkeypatch.setattr("api.slack.replies.live.CARDS_AFTER_SECONDS", math.inf)
    number = next(_numbers)
    slack.channel(f"C0QUAY{number}", "U0ANN", "U0BOB")
    slack.channel(f"D0ANN{number}", "U0ANN", kind="im")
    slack.refused.clear()
    model.support, model.wrapped, served.model.piece_seconds = "supported", "", 0.0
    model.go_on()
    sender = Sender(served.url)
    yield Workspace(slack, served, sender, model, f"C0QUAY{number}", f"D0ANN{number}")
    sender.close()
    assert not any(slack.faults.values()), "a fault that was set did not happen"


@pytest.fixture
def who_reads_along(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of answers is shown while it is written: for a minute, unless `hurries` ends that."""
    monkeypatch.setattr("rlm.runs.durable._PIECE_SECONDS", 1.0)
    workspace.harbour.model.piece_seconds = 0.2
    workspace.model.wrapped = "The lighthouse stood on the outer mole. " * 40


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Compare a text with the file that is named after the test; the option --golden writes it."""
    path = Path(__file__).parent / "golden" / f"{request.node.name.removeprefix('test_')}.txt"

    def compare(text: str) -> None:
        if request.config.getoption("--golden"):
            path.write_text(text)
        assert text == path.read_text()

    return compare
