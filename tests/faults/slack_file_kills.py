"""A service with the Slack bot that is killed at each fault point of a file that is shared or deleted there.

    python -m tests.faults.slack_file_kills        every point

Every file must end as one document, told in one message; a deleted one as none, with its receipt.
"""

import logging
import signal
import sys
import tempfile
import time
from pathlib import Path

from api.build.embedded import open_catalog
from api.cli.console_logging import configure_logging
from ingest.storage.documents.records import Document
from tests.faults.slack_kills import Killed, killed_services
from tests.support.cluster import wait_until
from tests.support.fault_folder import FaultFolder
from tests.support.fault_points import SLACK_FILE_FAULT_POINTS
from tests.support.slack_posts import BOT, Posted
from tests.support.slack_sender import TEAM

_SECONDS = 90.0
_DELETED = "slack.file_deleted"


def trial(killed: Killed, point: str) -> tuple[list[Posted], int]:
    """Kill the service as it reaches a point with a file; returns the bot's messages, and how many documents it is."""
    number = list(SLACK_FILE_FAULT_POINTS).index(point)
    channel, name = f"C0FILE{number}", f"note-{number}.md"
    killed.slack.channel(channel, "U0ANN")
    file = killed.slack.uploads("U0ANN", name, f"# Note {number}\n\nOf {point}.\n".encode())
    event = killed.slack.shares("U0ANN", channel, file, text=f"<@{BOT}>")
    faults = FaultFolder(killed.folder / "faults")
    if point == _DELETED:
        with killed._service():
            killed._send(event, may_fail=False)
            wait_until(lambda: _told(killed, channel, "is ready"), seconds=_SECONDS, what="it is ready")
        event = killed.slack.deletes_file(file)
    faults.arm(point)
    with killed._service() as process:
        killed._send(event, may_fail=point == "slack.files_stored")
        wait_until(lambda: faults.reached(point) is not None, seconds=_SECONDS, what=f"{point} is reached")
        process.send_signal(signal.SIGKILL)
        process.wait()
    faults.release()
    wanted = "was deleted in Slack" if point == _DELETED else "is ready"
    with killed._service():
        killed._send(event, may_fail=False)  # Slack sends again what was not acknowledged, and what was
        wait_until(lambda: _told(killed, channel, wanted), seconds=_SECONDS, what=f"{wanted} after {point}")
        time.sleep(1.5)  # for a second message, if there is going to be one
    return killed.slack.replies(channel), sum(each.name == name for each in _documents(killed))


def connect(killed: Killed) -> None:
    """Let the service know its workspace, without which it hears nothing."""

    def is_known() -> bool:
        with open_catalog(killed.folder / "home") as opened:
            return opened.slack.find_workspace(TEAM) is not None

    with killed._service():
        wait_until(is_known, seconds=_SECONDS, what="Slack is connected")


def _told(killed: Killed, channel: str, words: str) -> bool:
    return any(words in each.text for each in killed.slack.replies(channel))


def _documents(killed: Killed) -> list[Document]:
    with open_catalog(killed.folder / "home") as opened:
        return list(opened.catalog.list_documents("default", limit=1_000))


def main() -> None:
    configure_logging(logging.ERROR)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="leadline-slack-") as folder, killed_services(Path(folder)) as services:
        connect(services)
        for point in SLACK_FILE_FAULT_POINTS:
            messages, documents = trial(services, point)
            wrong += (len(messages), documents) != (1, int(point != _DELETED))
            print(f"{point:<20} messages {len(messages)}, documents {documents}", flush=True)
    print(f"{wrong} wrong")
    sys.exit(int(bool(wrong)))


if __name__ == "__main__":
    main()
