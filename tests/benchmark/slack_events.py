"""Sends events to the Slack bot as a busy workspace does, and reports how soon each is acknowledged.

`python -m tests.benchmark.slack_events`: a service in a process of its own, and 50 signed events a second for a minute,
each on its time whatever became of those before: mentions, messages of people to each other, and what comes twice.
"""

import asyncio
import json
import logging
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from api.cli.console_logging import configure_logging
from tests.benchmark.figures import AsJson, print_figures
from tests.support.cluster import wait_until
from tests.support.harbour import KEEPER, Model, harbour
from tests.support.scripted_openai import scripted_openai
from tests.support.slack_double import SlackDouble, slack_double
from tests.support.slack_posts import BOT
from tests.support.slack_sender import signature

# Of a hundred events. A workspace sends all messages of the channels that the bot is in, and few of them are for it.
_MENTIONS, _TWICE = 4, 10
_CHANNELS = 20
app = typer.Typer()


@dataclass(frozen=True)
class Sent:
    """An event that was sent: how long it took, and whether it was acknowledged."""

    seconds: float
    status: int


def events(slack: SlackDouble, count: int) -> Iterator[dict[str, Any]]:
    """Yield events in the order in which they are sent."""
    draw = random.Random(11)
    before: list[dict[str, Any]] = []
    for number in range(count):
        channel = f"C0BUSY{number % _CHANNELS}"
        if before and draw.randrange(100) < _TWICE:
            yield draw.choice(before)
            continue
        text = f"<@{BOT}> {KEEPER}" if draw.randrange(100) < _MENTIONS else f"I am on my way, number {number}."
        event = slack.says("U0ANN", channel, text)
        before.append(event)
        yield event


async def send(url: str, wanted: list[dict[str, Any]], rate: float) -> list[Sent]:
    """Send each event on its time."""
    begun = time.perf_counter()
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:

        async def one(number: int, event: dict[str, Any]) -> Sent:
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            raw = json.dumps(event).encode()
            headers = {"Content-Type": "application/json", **signature(raw)}
            at = time.perf_counter()
            try:
                status = (await http.post("/slack/events", content=raw, headers=headers)).status_code
            except httpx.HTTPError:
                status = 0
            return Sent(time.perf_counter() - at, status)

        return list(await asyncio.gather(*(one(number, event) for number, event in enumerate(wanted))))


@contextmanager
def service(folder: Path, slack: SlackDouble) -> Iterator[str]:
    """A service with documents in a process of its own, and its address."""
    model = Model()
    with harbour(folder, model):
        pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with scripted_openai(model, window_tokens=32_000) as server:
        arguments = [str(folder), server.url, slack.url, str(port)]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.slack_process", *arguments], stdout=subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: _is_ready(url), seconds=300, what="the service is ready")
            yield url
        finally:
            process.terminate()
            process.wait()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


@app.command()
def main(
    rate: Annotated[float, typer.Option(help="Events a second.")] = 50.0,
    seconds: Annotated[float, typer.Option(help="For how long.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Send events and print how soon they were acknowledged; ends with 1 where a question has not one reply."""
    configure_logging(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="leadline-slack-") as folder, slack_double() as slack:
        slack.person("U0ANN", "ann@harbour.example")
        for number in range(_CHANNELS):
            slack.channel(f"C0BUSY{number}", "U0ANN")
        wanted = list(events(slack, int(rate * seconds)))
        questions = {(each["event"]["channel"], each["event"]["ts"]) for each in wanted if BOT in each["event"]["text"]}
        with service(Path(folder) / "home", slack) as url:
            sent = asyncio.run(send(url, wanted, rate))
            wait_until(lambda: all(_replies(slack, *each) for each in questions), seconds=600, what="all are answered")
            time.sleep(3)  # for a second reply, if there is going to be one
        took = sorted(each.seconds for each in sent)
        replies = [_replies(slack, *each) for each in questions]
        figures = {
            "events": len(sent),
            "questions": len(questions),
            "replies": sum(replies),
            "not acknowledged": sum(each.status != 200 for each in sent),
            **{f"p{share:g} ms": round(1000 * took[int(len(took) * share / 100)], 1) for share in (50, 95, 99)},
            "longest ms": round(1000 * took[-1], 1),
        }
        print_figures(figures, as_json=as_json)
        if any(count != 1 for count in replies) or figures["not acknowledged"]:
            raise typer.Exit(1)


def _replies(slack: SlackDouble, channel: str, thread: str) -> int:
    return sum(each.is_whole for each in slack.replies(channel, thread))


if __name__ == "__main__":
    app()
