"""A service with the Slack bot that is killed at each of its fault points, and started again.

    python -m tests.faults.slack_kills            every point, each with a short reply and with a streamed one

Every question must end in one reply, whole, and Slack must have nothing else of the bot.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from api.cli.console_logging import configure_logging
from tests.support.cluster import wait_until
from tests.support.fault_folder import VARIABLE, FaultFolder
from tests.support.fault_points import RUN_FAULT_POINTS, SLACK_FAULT_POINTS
from tests.support.harbour import KEEPER, Model, harbour
from tests.support.scripted_openai import ScriptedOpenAI, scripted_openai
from tests.support.slack_double import BOT, Posted, Sender, SlackDouble, slack_double

_SECONDS = 90.0
# Points that only a reply that streams passes.
_STREAMED = frozenset({"slack.streaming"})


@dataclass
class Killed:
    """Services that come and go over one home, beside a Slack and a model that stay."""

    folder: Path
    slack: SlackDouble
    server: ScriptedOpenAI
    model: Model
    port: int
    trials: int = 0

    def trial(self, point: str, *, streamed: bool = False) -> list[Posted]:
        """Kill the service as it reaches a point with a question; returns the bot's messages in the end."""
        self.trials += 1
        channel = f"C0KILL{self.trials}"
        self.slack.channel(channel, "U0ANN")
        self.server.piece_seconds = 0.05 if streamed else 0.0
        self.model.wrapped = "The lighthouse stood on the outer mole. " * 8 if streamed else ""
        faults = FaultFolder(self.folder / "faults")
        faults.arm(point)
        event = self.slack.says("U0ANN", channel, f"<@{BOT}> {KEEPER}")
        with self._service() as process:
            self._send(event, may_fail=point == "slack.accepted")
            wait_until(lambda: faults.reached(point) is not None, seconds=_SECONDS, what=f"{point} is reached")
            process.send_signal(signal.SIGKILL)
            process.wait()
        faults.release()
        with self._service():
            self._send(event, may_fail=False)  # Slack sends again what was not acknowledged, and what was
            wait_until(lambda: self._is_whole(channel), seconds=_SECONDS, what=f"the reply after {point}")
            time.sleep(1.5)  # for a second one, if there is going to be one
        return self.slack.replies(channel)

    def _is_whole(self, channel: str) -> bool:
        return any(each.blocks for each in self.slack.replies(channel))

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
    def _service(self) -> Iterator["subprocess.Popen[bytes]"]:
        arguments = [str(self.folder / "home"), self.server.url, self.slack.url, str(self.port)]
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
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with scripted_openai(model, window_tokens=32_000) as server, slack_double() as slack:
        slack.person("U0ANN", "ann@harbour.example")
        yield Killed(folder, slack, server, model, port)


def trials() -> list[tuple[str, bool]]:
    """All points, each with what it is reached by."""
    points = [*SLACK_FAULT_POINTS, *RUN_FAULT_POINTS]
    short = [(point, False) for point in points if point not in _STREAMED]
    return [*short, ("slack.posting", True), ("slack.sent", True), ("slack.posted", True), ("slack.streaming", True)]


def main() -> None:
    configure_logging(logging.ERROR)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="leadline-slack-") as folder, killed_services(Path(folder)) as services:
        for point, streamed in trials():
            messages = services.trial(point, streamed=streamed)
            whole = sum(bool(each.blocks) for each in messages)
            wrong += (whole, len(messages)) != (1, 1)
            print(f"{point:<20} {'streamed' if streamed else 'short':<9} messages {len(messages)}, whole {whole}")
    print(f"{wrong} wrong")
    sys.exit(int(bool(wrong)))


if __name__ == "__main__":
    main()
