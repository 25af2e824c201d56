"""A folder whose documents are kept in step, with a real service and, for the command, a real process and Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from api.cli.ingest import UploadOptions
from api.cli.watching import FolderChanges, FolderMirror
from api.client import Client
from tests.support.service import listening, running

# A command in the background of a script ignores SIGINT, and so do its children.
LEADLINE = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);from api.cli.main import main; main()",
]


class Watched:
    """A folder with its mirror. `asked` are the questions about removals, which `answer` answers."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client, self.folder, self.answer = client, folder, True
        self.asked: list[tuple[list[str], bool]] = []
        folder.mkdir()
        self.restart()

    def restart(self) -> None:
        self.mirror = FolderMirror(
            self.client, self.folder, collection="default", confirm=self._confirm, options=UploadOptions()
        )

    def _confirm(self, paths: Sequence[str], is_large: bool) -> bool:
        self.asked.append((sorted(paths), is_large))
        return self.answer

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.folder / f"{name}.md").write_text(text)

    def update(self) -> FolderChanges:
        return self.mirror.update()

    def texts(self) -> dict[str, str]:
        """The text of each document, by the path of its file, once all are processed."""
        found = {}
        for document in self.client.documents():
            for state in self.client.follow_document(document.id):
                last = state
            found[str(document.metadata["watched_path"])] = self.client.text(last.id)
        return found


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with running(tmp_path / "home") as (_, client):
        yield Watched(client, tmp_path / "papers")


def test_files_that_are_new_changed_and_gone_are_added_replaced_in_place_and_deleted(watched: Watched) -> None:
    watched.write(whale="A whale.", ship="A ship.", harbour="A harbour.")
    assert sorted(watched.update().added) == ["harbour.md", "ship.md", "whale.md"]
    ids = {str(each.metadata["watched_path"]): each.id for each in watched.client.documents()}
    watched.write(whale="Two whales swim.")
    (watched.folder / "ship.md").unlink()
    changes = watched.update()
    assert (changes.added, changes.changed, changes.removed) == ([], ["whale.md"], ["ship.md"])
    assert watched.asked == [(["ship.md"], False)]
    assert watched.texts() == {"whale.md": "Two whales swim.", "harbour.md": "A harbour."}
    assert ids["whale.md"] in {each.id for each in watched.client.documents()}
    assert watched.update() == FolderChanges()


def test_what_changed_while_nobody_watched_is_brought_in_step_at_the_next_start(watched: Watched) -> None:
    watched.write(whale="A whale.", ship="A ship.")
    watched.update()
    watched.write(whale="Two whales swim.", harbour="A harbour.")
    (watched.folder / "ship.md").unlink()
    watched.restart()
    changes = watched.update()
    assert (changes.added, changes.changed, changes.removed) == (["harbour.md"], ["whale.md"], ["ship.md"])


def test_a_renamed_file_keeps_its_document(watched: Watched) -> None:
    watched.write(whale="A whale.", ship="A ship.")
    watched.update()
    before = {each.id for each in watched.client.documents()}
    (watched.folder / "whale.md").rename(watched.folder / "moby.md")
    assert watched.update().removed == []
    assert watched.asked == []
    assert {each.id for each in watched.client.documents()} == before
    assert watched.texts() == {"moby.md": "A whale.", "ship.md": "A ship."}


def test_equal_files_are_one_document_that_goes_with_the_last_of_them(watched: Watched) -> None:
    watched.write(one="A whale.", two="A whale.", ship="A ship.")
    watched.update()
    watched.write(one="Something else.")
    watched.update()
    assert watched.texts() == {"one.md": "Something else.", "two.md": "A whale.", "ship.md": "A ship."}
    (watched.folder / "two.md").unlink()
    assert watched.update().removed == ["two.md"]


def test_documents_that_were_uploaded_otherwise_are_never_deleted(watched: Watched) -> None:
    kept = watched.client.upload(b"A whale.", name="mine.md").id
    watched.write(whale="A whale.", ship="A ship.")
    watched.update()
    (watched.folder / "whale.md").unlink()
    assert watched.update().removed == []
    assert watched.client.document(kept).id == kept


def test_declined_removals_are_asked_once_and_the_documents_stay(watched: Watched) -> None:
    watched.write(whale="A whale.", ship="A ship.")
    watched.update()
    watched.answer = False
    (watched.folder / "ship.md").unlink()
    assert watched.update().kept == ["ship.md"]
    assert watched.update() == FolderChanges()
    assert len(watched.asked) == 1
    watched.write(ship="A ship again.")
    assert watched.update().changed == ["ship.md"]
    assert watched.texts()["ship.md"] == "A ship again."


def test_a_file_that_is_being_written_is_left_until_it_settles(watched: Watched) -> None:
    watched.write(whale="A whale.")
    watched.update()
    (watched.folder / "whale.md").rename(watched.folder / "renamed.md")
    watched.write(ship="A sh")
    os.utime(watched.folder / "renamed.md", ns=(0, 0))
    changes = watched.mirror.update(settle_seconds=60.0)
    assert (changes.added, changes.removed, changes.unsettled) == ([], [], ["ship.md"])
    watched.write(ship="A ship.")
    os.utime(watched.folder / "ship.md", ns=(0, 0))
    assert watched.mirror.update(settle_seconds=60.0).added == ["ship.md"]
    assert watched.texts() == {"renamed.md": "A whale.", "ship.md": "A ship."}


def test_a_folder_that_is_gone_removes_nothing(watched: Watched) -> None:
    watched.write(whale="A whale.")
    watched.update()
    watched.folder.rename(watched.folder.with_name("elsewhere"))
    assert watched.update() == FolderChanges()
    assert watched.asked == []


def test_an_emptied_folder_and_a_large_share_of_the_files_are_large_removals(watched: Watched) -> None:
    watched.answer = False
    watched.write(**{f"paper{n}": f"Paper {n}." for n in range(22)})
    watched.update()
    for n in range(12):
        (watched.folder / f"paper{n}.md").unlink()
    watched.update()
    watched.restart()
    for file in watched.folder.iterdir():
        file.unlink()
    watched.update()
    assert [is_large for _, is_large in watched.asked] == [True, True]


def test_a_refused_file_is_named_once_with_the_reason(watched: Watched) -> None:
    watched.write(empty="", whale="A whale.")
    changes = watched.update()
    assert list(changes.refused) == ["empty.md"]
    assert "empty" in changes.refused["empty.md"].detail
    assert watched.update() == FolderChanges()


def test_the_command_follows_the_folder_until_ctrl_c(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "whale.md").write_text("A whale.")
    with running(tmp_path / "home") as (services, client), listening(services) as (url, key):
        environment = {**os.environ, "LEADLINE_URL": url, "LEADLINE_API_KEY": key, "COLUMNS": "200"}
        watching = subprocess.Popen(
            [*LEADLINE, "ingest", str(folder), "--watch", "--remove-deleted"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout
        try:
            assert watching.stdout.readline() == "Added whale.md\n"
            assert watching.stdout.readline() == f"Watching {folder}. Press Ctrl-C to stop.\n"
            (folder / "ship.md").write_text("A ship.")
            assert watching.stdout.readline() == "Added ship.md\n"
            (folder / "whale.md").unlink()
            assert watching.stdout.readline() == "Removed whale.md\n"
            assert [document.name for document in client.documents()] == ["ship.md"]
            watching.send_signal(signal.SIGINT)
            printed, errors = watching.communicate(timeout=60)
        finally:
            watching.kill()
    assert (watching.returncode, printed) == (0, "Stopped. The documents stay.\n"), errors
    assert errors == ""
