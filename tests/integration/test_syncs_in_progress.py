"""Syncs in progress over REST: admins pause and delete their source, cancel them, and request another one."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from api.admission.services import Services
from api.client import Client, StateError
from api.sources.schemas import SourceOut
from ingest.sources.errors import ItemRefusedError
from ingest.storage.queue.records import JobKind
from tests.support.cluster import wait_until
from tests.support.hostile_sources import SCRIPTED, scripted_kind, synchronize, wait_for_sync
from tests.support.scripted_source import ScriptedSource
from tests.support.service import running

_PATIENCE_SECONDS = 300.0


@dataclass
class Gate:
    """Holds a sync when it opens an item, until a test lets it go on."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, step: str, item: str) -> None:
        if (step, item) == ("open", "05"):
            self.reached.set()
            assert self.opened.wait(_PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedSource]:
    source = ScriptedSource()
    with scripted_kind(source):
        yield source


@pytest.fixture(scope="module")
def service(scripted: ScriptedSource, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
def client(service: tuple[Services, Client]) -> Client:
    return service[1]


@pytest.fixture
def gate(scripted: ScriptedSource) -> Iterator[Gate]:
    gate = Gate()
    scripted.opened.clear()
    scripted.items.clear()
    for number in range(10):
        scripted.put(f"{number:02}", f"Note {number} of the harbour.")
    scripted.fault = gate
    yield gate
    gate.opened.set()


@pytest.fixture
def source(client: Client, gate: Gate) -> Iterator[SourceOut]:
    """A source whose first sync, which began by a schedule, is about to read its sixth item."""
    made = client.create_source("Notes", SCRIPTED, {}, interval_seconds=3600)
    assert gate.reached.wait(_PATIENCE_SECONDS)
    yield made
    gate.opened.set()
    if any(each.id == made.id for each in client.sources().sources):
        client.delete_source(made.id, documents="remove")
    wait_until(lambda: not list(client.documents()), what="its documents are removed")


def test_a_source_that_is_paused_ends_its_sync_and_is_not_due_again(
    client: Client, source: SourceOut, gate: Gate
) -> None:
    paused = client.change_source(source.id, paused=True)
    assert (paused.paused, paused.next_sync_at) == (True, None)
    assert paused.last_sync
    assert (paused.last_sync.state, paused.last_sync.counts.added) == ("running", 5)
    gate.opened.set()
    assert wait_for_sync(client, source.id).counts.added == 10
    assert synchronize(client, source).counts.unchanged == 10
    assert client.source(source.id).next_sync_at is None
    assert client.change_source(source.id, paused=False).next_sync_at is not None


def test_a_second_request_returns_the_sync_in_progress(client: Client, source: SourceOut, gate: Gate) -> None:
    first, second = client.sync_source(source.id), client.sync_source(source.id)
    assert (first.id, first.number, second.id) == (second.id, 1, first.id)
    gate.opened.set()
    wait_for_sync(client, source.id)
    assert [each.number for each in client.syncs(source.id)] == [1]


def test_a_cancelled_sync_stops_and_the_next_one_goes_on(client: Client, source: SourceOut, gate: Gate) -> None:
    sync = client.sync_source(source.id)
    with pytest.raises(StateError):
        client.cancel_sync(source.id, "another")
    cancelled = client.cancel_sync(source.id, sync.id)
    assert (cancelled.state, cancelled.counts.added, cancelled.counts.removed) == ("cancelled", 5, 0)
    assert client.cancel_sync(source.id, sync.id).state == "cancelled"
    gate.opened.set()
    following = synchronize(client, source)
    # The item that was being read belongs to the source, although nobody recorded it.
    assert (following.number, following.state) == (2, "succeeded")
    assert (following.counts.added, following.counts.unchanged) == (5, 5)
    assert len(list(client.documents())) == 10
    with pytest.raises(StateError):
        client.cancel_sync(source.id, following.id)


@pytest.mark.parametrize("documents", ["keep", "remove"])
def test_a_source_that_is_deleted_during_its_sync_leaves_exactly_what_was_asked_for(
    service: tuple[Services, Client], source: SourceOut, gate: Gate, documents: str
) -> None:
    services, client = service
    client.delete_source(source.id, documents="keep" if documents == "keep" else "remove")
    for path in ("", "/syncs", "/items"):
        assert client.http.get(f"/v1/sources/{source.id}{path}").status_code == 404
    gate.opened.set()
    if documents == "remove":
        wait_until(lambda: not list(client.documents()), what="no document is left")
        return
    jobs = services.jobs
    wait_until(lambda: JobKind.SYNC not in jobs.count_unfinished_jobs(), what="the source is removed")
    kept = [each.id for each in client.documents()]
    assert len(kept) in (5, 6)  # The sixth item may have been accepted already.
    for each in kept:
        client.delete_document(each)


def test_refused_items_are_listed_with_their_reasons_page_by_page(
    client: Client, source: SourceOut, scripted: ScriptedSource, gate: Gate
) -> None:
    gate.opened.set()
    wait_for_sync(client, source.id)

    def refuse(step: str, item: str) -> None:
        if step == "open":
            raise ItemRefusedError(f"{item} cannot be read: Permission denied.")

    scripted.fault = refuse
    for number in range(3):
        scripted.put(f"{number:02}", "Changed.")
    sync = synchronize(client, source)
    assert (sync.state, sync.counts.refused, sync.counts.removed) == ("succeeded", 3, 0)
    path, params = f"/v1/sources/{source.id}/items", {"refused": True, "limit": 2}
    first = client.http.get(path, params=params).json()
    rest = client.http.get(path, params={**params, "cursor": first["next_cursor"]}).json()
    items = first["items"] + rest["items"]
    assert (len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (2, 1, None)
    for each in items:
        identifier = each["name"].removesuffix(".txt")
        assert each["failure"]["code"] == "source_item_refused"
        assert each["failure"]["detail"] == f"{identifier} cannot be read: Permission denied."
        assert each["document"]  # The earlier content stays.
    assert client.source(source.id).refused_items == 3
