"""Sources that fail, lie or hang, over a whole service: nothing is removed or lost, and an admin learns why."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import api.cli.sources
from api.client import Client
from api.sources.schemas import SourceOut, SyncOut
from ingest.sources.errors import SourceRefusedError
from ingest.storage.sources.records import SyncState
from tests.support.cluster import wait_until
from tests.support.hostile_sources import SCRIPTED, scripted_kind, synchronize, wait_for_sync
from tests.support.scripted_source import ScriptedSource
from tests.support.service import running
from tests.support.web_server import Request, WebServer, open_web_server

Tell = Callable[..., str]
_FILES = 20


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedSource]:
    source = ScriptedSource()
    with scripted_kind(source):
        yield source


@pytest.fixture(scope="module")
def client(scripted: ScriptedSource, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    limits: dict[str, Any] = {"source_seconds": 2, "task_seconds": 6, "max_upload_bytes": 10_000}
    home = tmp_path_factory.mktemp("home")
    with running(home, webhook_networks="127.0.0.1/32", source_folders=str(home.parent), **limits) as (_, client):
        yield client


@pytest.fixture
def source(client: Client, scripted: ScriptedSource) -> Iterator[SourceOut]:
    """A scripted source of 20 items, which were synchronized."""
    scripted.contents.clear()
    scripted.items.clear()
    for number in range(_FILES):
        scripted.put(f"{number:02}", f"Note {number} of the harbour.")
    made = client.create_source("Notes", SCRIPTED, {}, interval_seconds=0)
    assert wait_for_sync(client, made.id).counts.added == _FILES
    yield made
    scripted.fault = lambda step, item: None
    client.delete_source(made.id, documents="remove")
    wait_until(lambda: not list(client.documents()), what="its documents are removed")


@pytest.fixture
def site() -> Iterator[WebServer]:
    with open_web_server() as server:
        server.pages["/files/"] = server.list_links
        for number in range(_FILES):
            server.write(f"note {number}.txt", f"Note {number}.".encode())
        yield server


@pytest.fixture
def tell(client: Client, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """The lines that a command of `leadline sources` prints, as one."""

    @contextmanager
    def connect(_: object) -> Iterator[Client]:
        yield client

    monkeypatch.setattr(api.cli.sources, "open_client", connect)
    monkeypatch.setattr(api.cli.sources, "read_settings", lambda: None)

    def run(*words: str) -> str:
        result = CliRunner(env={"COLUMNS": "400"}).invoke(api.cli.sources.app, list(words))
        return " ".join(line.strip() for line in result.stdout.splitlines() if "request_id=" not in line)

    return run


@contextmanager
def synced_site(client: Client, site: WebServer, **options: object) -> Iterator[SourceOut]:
    found = {"url": f"{site.url}/files/", "include": ["*.txt"], **options}
    made = client.create_source("Site", "web", found, interval_seconds=0)
    try:
        assert wait_for_sync(client, made.id).counts.added == _FILES
        yield made
    finally:
        client.delete_source(made.id, documents="remove")
        wait_until(lambda: not list(client.documents()), what="its documents are removed")


def require_failure(client: Client, source: SourceOut, sync: SyncOut, code: str, tell: Tell, *words: str) -> None:
    """The sync failed for a reason that REST and the command line tell, and all documents are still there."""
    assert sync.state is SyncState.FAILED
    assert sync.failure
    assert sync.failure.code == code
    history = tell("history", source.id)
    for each in words:
        assert each in f"{sync.failure.detail} {sync.failure.hint}"
        assert each in history
    assert "No document was removed." in history
    assert len(list(client.documents())) == _FILES


def test_a_source_that_loses_everything_waits_for_exactly_this_approval(
    client: Client, scripted: ScriptedSource, source: SourceOut, tell: Tell
) -> None:
    scripted.items.clear()
    asking = synchronize(client, source)
    assert (asking.state, asking.pending_removals, asking.counts.removed) == ("needs_approval", _FILES, 0)
    assert len(list(client.documents())) == _FILES
    advice = f"This sync would remove 20 documents, a large share of all. None was removed. If the items are really gone, run `leadline sources approve {source.id}`."  # noqa: E501
    assert advice in tell("history", source.id)
    assert advice in tell("show", source.id)
    path = f"/v1/sources/{source.id}/syncs/{asking.id}/approve"
    for removals in (_FILES - 1, _FILES + 1):
        refused = client.http.post(path, json={"removals": removals})
        assert (refused.status_code, refused.json()["code"]) == (409, "source_state_invalid")
        assert f"the number of removals is not {removals}" in refused.json()["detail"]
    assert client.http.post(path, json={"removals": 0}).status_code == 422
    assert len(list(client.documents())) == _FILES
    assert client.http.post(path, json={"removals": _FILES}).status_code == 202
    done = wait_for_sync(client, source.id)
    assert (done.id, done.state, done.counts.removed) == (asking.id, "succeeded", _FILES)
    again = client.http.post(path, json={"removals": _FILES})
    assert (again.status_code, again.json()["detail"]) == (409, "This synchronization does not wait for an approval.")
    assert list(client.documents()) == []


def test_a_site_that_answers_403_loses_nothing(client: Client, site: WebServer, tell: Tell) -> None:
    with synced_site(client, site) as made:
        site.add("/files/", "no", status=403)
        sync = synchronize(client, made)
        require_failure(client, made, sync, "source_refused", tell, f"{site.url}/files/ answered with the status 403.")
        assert "Check the credentials of the source and their permissions." in tell("history", made.id)


def test_a_source_that_refuses_in_the_middle_of_its_list_loses_nothing(
    client: Client, scripted: ScriptedSource, source: SourceOut, tell: Tell
) -> None:
    for number in range(10, _FILES):
        scripted.remove(f"{number}")

    def refuse(step: str, item: str) -> None:
        if (step, item) == ("list", "05"):
            raise SourceRefusedError("The server answered with the status 403.")

    scripted.fault = refuse
    require_failure(client, source, synchronize(client, source), "source_refused", tell, "the status 403")


@pytest.mark.slow
def test_a_site_that_hangs_loses_nothing(client: Client, site: WebServer, tell: Tell) -> None:
    with synced_site(client, site) as made:
        site.pages["/files/"] = Request.hang
        sync = synchronize(client, made)
        require_failure(
            client, made, sync, "source_unavailable", tell, "within 2 seconds", "The next sync tries again."
        )


@pytest.mark.slow
def test_a_source_that_never_returns_is_given_up_and_others_go_on(
    client: Client, scripted: ScriptedSource, source: SourceOut, site: WebServer, tell: Tell
) -> None:
    """Code that has no timeout of its own, such as a loader's, is interrupted by the limit of a step."""

    def hang(step: str, item: str) -> None:
        while step == "list":
            time.sleep(0.05)

    scripted.fault = hang
    sync = synchronize(client, source)
    words = "The source sent nothing for longer than LEADLINE_TASK_SECONDS", "The next sync tries again."
    require_failure(client, source, sync, "source_unavailable", tell, *words)
    scripted.fault = lambda step, item: None
    assert synchronize(client, source).counts.unchanged == _FILES


def test_items_whose_size_is_a_lie_are_refused_with_the_reason_or_read(
    client: Client, scripted: ScriptedSource, source: SourceOut, tell: Tell
) -> None:
    scripted.put("small", "x" * 50_000, size_bytes=5)
    scripted.put("huge", "It is small.", size_bytes=10**15)
    scripted.put("endless", "Its size cannot be stored.", size_bytes=10**30)
    scripted.put("negative", "Its size is negative.", size_bytes=-5)
    sync = synchronize(client, source)
    assert (sync.state, sync.counts.added, sync.counts.refused) == ("succeeded", 2, 2)
    assert "huge" not in scripted.opened
    found = client.http.get(f"/v1/sources/{source.id}/items", params={"refused": True}).json()["items"]
    assert {each["path"]: each["failure"]["code"] for each in found} == {
        "/small.txt": "file_too_large",
        "/huge.txt": "file_too_large",
    }
    told = tell("items", source.id, "--refused")
    assert told.count("10,000 bytes") == 2
    assert client.source(source.id).refused_items == 2
    assert len(list(client.documents())) == _FILES + 2


def test_a_site_without_end_is_an_error_that_names_the_limit(client: Client, site: WebServer, tell: Tell) -> None:
    with synced_site(client, site, max_pages=50) as made:

        def trap(request: Request) -> None:
            links = "".join(f"<a href='/files{request.path.removeprefix('/files')}{each}'>on</a>" for each in "xyz")
            request.reply(f"<p>{request.path}</p>{links}<a href='./'>up</a>".encode())

        site.pages["/files/"] = site.answer_others = trap
        sync = synchronize(client, made)
        words = "The site has more than 50 addresses, the limit of this source.", "Increase the limit"
        require_failure(client, made, sync, "source_options_invalid", tell, *words)


@pytest.mark.slow
def test_circles_of_links_in_a_folder_are_no_error_and_a_folder_that_is_gone_is_one(
    client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "circle").symlink_to(folder)
    (folder / "itself").symlink_to(folder / "itself")
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "note.txt").write_text("A note.")
    made = client.create_source("Folder", "folder", {"path": str(folder)}, interval_seconds=0)
    sync = wait_for_sync(client, made.id)
    assert (sync.state, sync.counts.listed, sync.counts.added) == ("succeeded", 1, 1)
    (folder / "note.txt").unlink()
    folder.rename(tmp_path / "away")
    lost = synchronize(client, made)
    assert lost.failure
    assert lost.failure.detail == f"The folder is missing at {folder}."
    assert [each.name for each in client.documents()] == ["note.txt"]
    client.delete_source(made.id, documents="remove")
    wait_until(lambda: not list(client.documents()), what="its documents are removed")
