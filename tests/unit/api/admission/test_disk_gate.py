import asyncio
from pathlib import Path
from typing import Any

import pytest

from api.admission.disk_gate import DiskGate
from api.http.middleware import CALLER
from ingest.storage.ballast import NEEDED_BYTES, Ballast
from ingest.storage.errors import StorageFullError


class Disk(Ballast):
    """A ballast that writes down for how much room it was asked."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.asked: list[tuple[int, bool]] = []

    def shrink(self, needed_bytes: int = NEEDED_BYTES, *, keep_half: bool = False) -> None:
        self.asked.append((needed_bytes, keep_half))


def ask(method: str, path: str, *, has_room: bool, caller: object = "ann") -> Disk:
    """Send a request through the gate; it must reach the application, or raise."""
    disk, reached = Disk(), []

    async def application(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has it
        reached.append(scope["path"])

    gate = DiskGate(application, ballast=disk, has_room=lambda: has_room)
    asyncio.run(gate({"type": "http", "method": method, "path": path, CALLER: caller}, None, None))  # type: ignore[arg-type]
    assert reached == [path]
    return disk


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v1/documents/doc-1"),
        ("DELETE", "/v1/collections/law"),
        ("POST", "/v1/documents/doc-1/cancel"),
        ("POST", "/v1/runs/run-1/finish"),
        ("POST", "/v1/sign-out"),
    ],
)
def test_what_takes_something_away_gets_room_on_a_full_disk(method: str, path: str) -> None:
    assert ask(method, path, has_room=False).asked == [(NEEDED_BYTES, False)]


@pytest.mark.parametrize(
    "path",
    ["/v1/search", "/v1/answers", "/v1/answers/", "/v1/chat/completions", "/v1/vector_stores/s-1/search", "/mcp"],
)
def test_questions_are_answered_on_a_full_disk_and_leave_half_of_the_ballast(path: str) -> None:
    assert ask("POST", path, has_room=False).asked == [(1024**2, True)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/documents"),
        ("PUT", "/v1/documents/doc-1"),
        ("PATCH", "/v1/documents/doc-1"),
        ("POST", "/v1/uploads"),
        ("POST", "/v1/collections"),
        ("POST", "/v1/keys"),
        ("POST", "/v1/documents/bulk"),
        ("POST", "/v1/vector_stores/s-1/files"),
        ("POST", "/v1/files"),
    ],
)
def test_a_change_is_refused_before_it_begins_while_the_disk_is_nearly_full(method: str, path: str) -> None:
    with pytest.raises(StorageFullError, match="deletions still work"):
        ask(method, path, has_room=False)
    assert ask(method, path, has_room=True).asked == []


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/sign-in"), ("DELETE", "/docs/none"), ("POST", "/mcp")])
def test_a_request_of_nobody_makes_no_ballast_give_way(method: str, path: str) -> None:
    assert ask(method, path, has_room=False, caller=None).asked == []


def test_reading_needs_no_room() -> None:
    assert ask("GET", "/v1/documents", has_room=False).asked == []
