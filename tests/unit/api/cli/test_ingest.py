"""How `leadline ingest` sends files."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.cli.ingest import IngestReport, UploadOptions, _upload_all_files
from api.client import Client
from api.client.operations import Priority


class NotedUploads:
    """A client that notes the priority of each upload."""

    def __init__(self) -> None:
        self.priorities: list[str] = []

    def upload(self, path: Path, *, priority: str, **more: Any) -> SimpleNamespace:  # noqa: ANN401 - of an upload
        self.priorities.append(priority)
        return SimpleNamespace(duplicate=False)


@pytest.mark.parametrize(
    ("files", "given", "sent"),
    [(1, None, "interactive"), (2, None, "bulk"), (2, "interactive", "interactive"), (1, "bulk", "bulk")],
)
def test_files_have_the_priority_that_was_given_and_several_are_bulk_else(
    files: int, given: Priority | None, sent: str
) -> None:
    client, named = NotedUploads(), [(f"{number}.md", Path(f"{number}.md")) for number in range(files)]
    about = UploadOptions(priority=given)
    _upload_all_files(cast(Client, client), named, "default", IngestReport(files), lambda *_: None, about)
    assert client.priorities == [sent] * files
