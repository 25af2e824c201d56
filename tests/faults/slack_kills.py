"""A service with the Slack bot that is killed at each of its fault points and started again, and a Slack that fails.

    python -m tests.faults.slack_kills                  every point, each with a short reply and with a streamed one
    python -m tests.faults.slack_kills slack.sent       points whose names hold a word
    python -m tests.faults.slack_kills faults           every method of Slack's that fails, each in every way

Every question must end in one reply, whole, and Slack must have nothing else of the bot.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from api.cli.console_logging import configure_logging
from api.slack.replies.waiting import GO_ON
from tests.support.cluster import wait_until
from tests.support.fault_folder import VARIABLE, FaultFolder
from tests.support.fault_points import RUN_FAULT_POINTS, SLACK_FAULT_POINTS, SLACK_PAUSE_FAULT_POINTS
from tests.support.harbour import KEEPER, Model, harbour
from tests.support.ports import free_port
from tests.support.scripted_openai import ScriptedOpenAI, scripted_openai
from tests.support.slack_double import BOT_TOKEN, Fault, SlackDouble, slack_double
from tests.support.slack_posts import BOT, Posted
from tests.support.slack_sender import SECRET, TEAM, Sender

_SECONDS = 300.0
# How long a message is shown before the whole reply is a new one, where a point needs that.
_STREAM_SECONDS = "0.5"
_LONG = "The lighthouse stood on the outer mole. " * 40
# How long the model takes for each word of what is streamed: a minute in all, and then little.
_WORD_SECONDS, _HASTE_SECONDS = 0.2, 0.01
# Points that only a reply that streams passes.
_STREAMED = frozenset({"slack.streaming", "slack.removed"})
METHODS = (
    "chat.startStream",
    "chat.appendStream",
    "chat.stopStream",
    "chat.update",
    "chat.postMessage",
    "assistant.threads.setStatus",
    "agents.sessions.setStatus",
    "conversations.members",
)
FAULTS = {
    "429": Fault(429, retry_after=1),
    "429 for long": Fault(429, retry_after=8),
    "500": Fault(500),
    "500 once done": Fault(500, done=True),
    "timeout": Fault(seconds=20),
    "refused": Fault(error="internal_error"),
    "not streaming": Fault(error="message_not_in_streaming_state"),
}


@dataclass
class Killed:
    """Services that come and go over one home, beside a Slack and a model that stay."""

    folder: Path
    slack: SlackDouble
    server: ScriptedOpenAI
    model: Model
    port: int
    trials: int = 0
    pressed: set[str] = field(default_factory=set)

    def trial(self, point: str, *, streamed: bool = False) -> list[Posted]:
        """Kill the service as it reaches a point with a question; returns the bot's messages in the end."""
        self.trials += 1
        channel = f"C0KILL{self.trials}"
        self.slack.channel(channel, "U0ANN")
        self.server.piece_seconds = _WORD_SECONDS if streamed else 0.0
        self.model.wrapped = _LONG if streamed else ""
        faults = FaultFolder(self.folder / "faults")
        faults.arm(point)
        event = self.slack.says("U0ANN", channel, f"<@{BOT}> {KEEPER}")
        with self._service(point) as process:
            self._send(event, may_fail=point == "slack.accepted")
            if point == "slack.decided":
                wait_until(lambda: self._decide(channel), seconds=_SECONDS, what="somebody decides")
            if streamed:
                shown = partial(self.slack.replies, channel)
                wait_until(
                    lambda: bool(shown()) or faults.reached(point) is not None, seconds=_SECONDS, what="a stream"
                )
            if point == "slack.removed":
                time.sleep(2 * float(_STREAM_SECONDS))
            if point != "slack.streaming":  # there the text goes on
                self.server.piece_seconds = 0.0
            wait_until(lambda: faults.reached(point) is not None, seconds=_SECONDS, what=f"{point} is reached")
            self.server.piece_seconds = _HASTE_SECONDS if streamed else 0.0
            process.send_signal(signal.SIGKILL)
            process.wait()
        faults.release()
        with self._service(point):
            self._send(event, may_fail=False)  # Slack sends again what was not acknowledged, and what was
            wait_until(lambda: self._ends(channel), seconds=_SECONDS, what=f"the reply after {point}")
            time.sleep(1.5)  # for a second one, if there is going to be one
        return self.slack.replies(channel)

    def _decide(self, channel: str) -> bool:
        """Let the channel's run go on wherever it waits; true once somebody was asked."""
        asked = {each.decisions[GO_ON] for each in self.slack.replies(channel) if each.decisions}
        for button in asked - self.pressed:
            self.pressed.add(button)
            sender = Sender(f"http://127.0.0.1:{self.port}")
            with suppress(httpx.HTTPError):  # the process may stand at a point
                sender.press("U0ANN", GO_ON, button, channel, seconds=0.5)
            sender.close()
        return bool(asked)

    def _ends(self, channel: str) -> bool:
        """True once the reply is whole; a run that waits is let go on."""
        self._decide(channel)
        return any(each.is_whole for each in self.slack.replies(channel))

    def _send(self, event: dict[str, object], *, may_fail: bool) -> None:
        sender = Sender(f"http://127.0.0.1:{self.port}")
        try:
            sender.event(event, seconds=3 if may_fail else 60)
        except httpx.HTTPError:
            if not may_fail:
                raise
        finally:
            sender.close()

    @contextmanager
    def _service(self, point: str = "") -> Iterator["subprocess.Popen[bytes]"]:
        arguments = [str(self.folder / "home"), self.server.url, self.slack.url, str(self.port)]
        arguments += [_STREAM_SECONDS if point == "slack.removed" else ""]
        arguments += ["1"] if point in SLACK_PAUSE_FAULT_POINTS else []
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.slack_process", *arguments],
            env={**os.environ, VARIABLE: str(self.folder / "faults")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: self._is_live() or process.poll() is not None, seconds=_SECONDS, what="it listens")
            yield process
        finally:
            process.kill()
            process.wait()

    def _is_live(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/live", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False


@contextmanager
def killed_services(folder: Path) -> Iterator[Killed]:
    """A home with the harbour's documents, and what stays while services die."""
    model = Model()
    with harbour(folder / "home", model):
        pass
    port = free_port()
    with scripted_openai(model, window_tokens=32_000) as server, slack_double() as slack:
        slack.person("U0ANN", "ann@harbour.example")
        yield Killed(folder, slack, server, model, port)


def points() -> list[tuple[str, bool]]:
    """All points, each with what it is reached by."""
    names = [*SLACK_FAULT_POINTS, *SLACK_PAUSE_FAULT_POINTS, *RUN_FAULT_POINTS]
    short = [(point, False) for point in names if point not in _STREAMED]
    streamed = ("slack.posting", "slack.sent", "slack.posted", "slack.answered", *sorted(_STREAMED))
    return [*short, *((point, True) for point in streamed)]


def kill(words: Sequence[str]) -> int:
    """Kill at each point whose name holds one of the words; returns how many went wrong."""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="leadline-slack-") as folder, killed_services(Path(folder)) as services:
        for point, streamed in points():
            form = "streamed" if streamed else "short"
            if words and not any(word in f"{point} {form}" for word in words):
                continue
            messages = services.trial(point, streamed=streamed)
            whole = sum(each.is_whole for each in messages)
            wrong += (whole, len(messages)) != (1, 1)
            print(f"{point:<20} {form:<9} messages {len(messages)}, whole {whole}", flush=True)
    return wrong


def fail() -> int:
    """Have each method fail in each way, a question each, all at once; returns how many went wrong."""
    tried = {f"C0FAIL{number}": pair for number, pair in enumerate((m, f) for m in METHODS for f in FAULTS)}
    model = Model()
    model.wrapped = _LONG
    with slack_double() as slack, tempfile.TemporaryDirectory(prefix="leadline-slack-") as folder:
        settings = {"slack_signing_secret": SECRET, "slack_bot_token": BOT_TOKEN, "slack_api_url": slack.url}
        slack.person("U0ANN", "ann@harbour.example")
        with harbour(Path(folder) / "home", model, **settings) as made:
            made.model.piece_seconds = _HASTE_SECONDS
            store, sender = made.services.slack.store, Sender(made.url)
            wait_until(lambda: store.find_workspace(TEAM) is not None, what="Slack is connected")
            for channel, (method, fault) in tried.items():
                slack.channel(channel, "U0ANN")
                slack.faults[f"{method} {channel}"].append(FAULTS[fault])
                if method == "chat.postMessage":  # what may not be a stream is posted
                    slack.faults[f"chat.startStream {channel}"].append(FAULTS["429 for long"])
                sender.event(slack.says("U0ANN", channel, f"<@{BOT}> {KEEPER}"))
            with suppress(AssertionError):  # it is told below
                wait_until(lambda: store.count_open_questions() == 0, seconds=600, what="all have ended")
            sender.close()
    wrong = 0
    for channel, (method, fault) in tried.items():
        messages = slack.replies(channel)
        whole = sum(each.is_whole for each in messages)
        wrong += (whole, len(messages)) != (1, 1)
        happened = "" if not slack.faults[f"{method} {channel}"] else ", was not called"
        print(f"{method:<28} {fault:<14} messages {len(messages)}, whole {whole}{happened}")
    return wrong


def main() -> None:
    configure_logging(logging.ERROR)
    words = sys.argv[1:]
    wrong = fail() if words == ["faults"] else kill(words)
    print(f"{wrong} wrong")
    sys.exit(int(bool(wrong)))


if __name__ == "__main__":
    main()
