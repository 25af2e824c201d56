"""All hostile files at once against a whole service: it lives, stays small, and serves everybody else meanwhile."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from api.admission.services import DEFAULT_TENANT, Services
from ingest.intake import UploadRequest
from ingest.storage.documents.records import Document, VersionState
from ingest.storage.errors import InputError, UploadError
from ingest.storage.queue.records import JobKind
from tests.support.hostile import CANARY
from tests.support.hostile.all_files import HOSTILE_FILES
from tests.support.service import running

_ROOT = Path(__file__).parents[2]
_MORE_BYTES = 1_000_000_000
_ENDS = {VersionState.READY, VersionState.FAILED}
_WORST_SECONDS = 1_200.0


def send(services: Services, path: Path, name: str) -> Document:
    with (
        services.work.intake.receive_upload(UploadRequest(DEFAULT_TENANT, "default", name)) as upload,
        path.open("rb") as file,
    ):
        while block := file.read(1024**2):
            upload.write(block)
        accepted = upload.accept()
    services.work.doorbell.notify(JobKind.INGEST)
    return accepted.document


def documents(services: Services) -> list[Document]:
    found: list[Document] = []
    while page := services.documents.catalog.list_documents(
        DEFAULT_TENANT, after=found[-1].sequence if found else 0, limit=500
    ):
        found += page
    return found


def wait(services: Services, name: str = "", seconds: float = _WORST_SECONDS) -> list[Document]:
    """Wait until all documents, or those of a name, have ended."""
    until = time.monotonic() + seconds
    while True:
        found = [each for each in documents(services) if name in each.name]
        if all(each.version.state in _ENDS for each in found):
            return found
        assert time.monotonic() < until, [each.name for each in found if each.version.state not in _ENDS]
        time.sleep(0.5)


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Collect the highest figure of this process's memory, which is the service's; parsers have their own."""
    process, done, peak = psutil.Process(), threading.Event(), [0]

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3_000)
def test_hostile_files_leave_the_service_whole_small_and_open_to_others(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    subprocess.run([sys.executable, "-m", "tests.support.hostile", str(files)], cwd=_ROOT, check=True)
    good = tmp_path / "good.md"
    refused: list[tuple[str, str]] = []
    with running(tmp_path / "home", container_entries=200) as (services, client):
        good.write_text("# Before\n\nThe flood comes at six.")
        send(services, good, "good-0.md")
        wait(services)
        idle = psutil.Process().memory_info().rss
        with peak_memory() as peak:
            for number, file in enumerate(HOSTILE_FILES):
                if file.endless:
                    continue
                try:
                    send(services, files / str(number), file.name)
                except (UploadError, InputError) as error:
                    refused.append((file.label, error.hint))
                if number % 10 == 0:
                    good.write_text(f"# Number {number}\n\nThe flood comes at six on day {number}.")
                    send(services, good, f"good-{number}.md")
            ended = wait(services)
        assert peak[0] - idle < _MORE_BYTES
        for document in ended:
            version = document.version
            if version.state is VersionState.FAILED:
                assert version.failure is not None
                assert version.failure.hint
                assert version.failure.code not in ("internal_error", "worker_lost"), (document.name, version.failure)
            else:
                assert (version.characters or 0) > 0, document.name
                assert CANARY not in services.contents.texts.read(version.id, 0, 100_000)
        fine = [each for each in ended if each.name.startswith("good-")]
        assert {each.version.state for each in fine} == {VersionState.READY}
        assert [label for label, hint in refused if not hint] == []
        assert refused
        assert client.get("/v1/documents", limit=1)["documents"]
