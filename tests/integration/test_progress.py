"""Progress of documents and batches over a real server: asked for, and sent as events that survive a reconnection."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.admission.services import Services
from api.cli.ingest import show_batch_progress
from api.client import Client
from ingest.storage.queue.records import JobKind
from tests.integration.test_api import other_tenant, problem, upload
from tests.support.events import sent_events
from tests.support.service import running

FILM = b"\0\0\0\x18ftypmp42" + bytes(200)
BROKEN = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
def services(service: tuple[Services, Client]) -> Services:
    return service[0]


@pytest.fixture
def client(service: tuple[Services, Client]) -> Client:
    return service[1]


@contextmanager
def paused(services: Services, *kinds: JobKind) -> Iterator[None]:
    for kind in kinds:
        services.jobs.pause_kind(kind)
    try:
        yield
    finally:
        resume(services, *kinds)


def resume(services: Services, *kinds: JobKind) -> None:
    for kind in kinds:
        services.jobs.resume_kind(kind)
        services.work.doorbell.notify(kind)


Event = tuple[str, str, Any]


@contextmanager
def events(client: Client, path: str, after: str | None = None) -> Iterator[Iterator[Event]]:
    """`(id, name, body)` as they are sent."""
    headers = {} if after is None else {"Last-Event-ID": after}
    with client.http.stream("GET", path, headers=headers, timeout=60) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        yield sent_events(response)


def batch(client: Client, **body: object) -> str:
    return str(client.post("/v1/batches", body)["id"])


def test_a_document_is_followed_from_its_queue_to_its_end(client: Client, services: Services) -> None:
    with paused(services, JobKind.INGEST):
        document = upload(client, b"The lighthouse keeper counts ships.").json()["id"]
        asked = client.get(f"/v1/documents/{document}")["progress"]
        assert (asked["stage"], asked["attempt"], asked["queue_position"]) == ("accepted", 0, 0)
        assert asked["seconds_left"] is None
        with events(client, f"/v1/documents/{document}/events") as sent:
            first = next(sent)
            assert (first[1], first[2]["progress"]) == ("snapshot", asked)
            resume(services, JobKind.INGEST)
            rest = list(sent)
    assert [name for _, name, _ in rest] == ["progress"] * (len(rest) - 1) + ["end"]
    assert rest[-1][2] == client.get(f"/v1/documents/{document}")
    fractions = [body["progress"]["fraction"] for _, _, body in [first, *rest]]
    assert fractions == sorted(fractions)


def test_who_comes_back_with_the_present_state_gets_only_what_is_new(client: Client, services: Services) -> None:
    with paused(services, JobKind.INGEST):
        document = upload(client, b"The keeper's second log.").json()["id"]
        path = f"/v1/documents/{document}/events"
        with events(client, path) as sent:
            seen = next(sent)[0]
        with events(client, path, after=seen) as sent:
            resume(services, JobKind.INGEST)
            names = [name for _, name, _ in sent]
            assert "snapshot" not in names
            assert names[-1] == "end"


@pytest.mark.parametrize("old", ["1732492800000-0", "an id that was never given", "0"])
def test_who_comes_back_with_an_id_that_is_forgotten_gets_a_snapshot_and_goes_on(
    client: Client, services: Services, old: str
) -> None:
    with paused(services, JobKind.INGEST):
        document = upload(client, f"The keeper's log of {old}.".encode()).json()["id"]
        with events(client, f"/v1/documents/{document}/events", after=old) as sent:
            assert next(sent)[1] == "snapshot"
            resume(services, JobKind.INGEST)
            assert [name for _, name, _ in sent][-1] == "end"


def test_who_has_seen_the_end_is_told_not_to_come_back(client: Client) -> None:
    document = upload(client, b"A log that ends.").json()["id"]
    path = f"/v1/documents/{document}/events"
    with events(client, path) as sent:
        last, name, _ = list(sent)[-1]
    assert name == "end"
    assert client.http.get(path, headers={"Last-Event-ID": last}).status_code == 204
    with events(client, path, after="older") as sent:
        assert [(identifier, name) for identifier, name, _ in sent] == [(last, "end")]


def test_who_waits_for_a_batch_is_told_that_its_work_is_paused_and_what_lets_it_go_on(
    client: Client, services: Services
) -> None:
    with paused(services, JobKind.EMBED):
        identifier = batch(client, expected=1)
        upload(client, b"The keeper's log of a pause.", batch=identifier)
        with events(client, f"/v1/batches/{identifier}/events") as sent:
            waiting = next(body for _, _, body in sent if body["counts"]["documents"].get("searchable"))
            assert waiting["progress"]["paused"] == ["embed"]
            seen: list[tuple[str, int, int, str]] = []
            show_batch_progress(waiting, lambda *told: seen.append(told))
            assert seen[0] == ("searchable", 1, 1, "")
            assert seen[1][3] == "paused; resume with `leadline queue resume embed`"
            resume(services, JobKind.EMBED)
            assert list(sent)[-1][2]["progress"]["paused"] == []


def test_a_document_that_is_deleted_while_it_is_followed_ends_as_deleted(client: Client, services: Services) -> None:
    with paused(services, JobKind.INGEST):
        document = upload(client, b"A log that sinks.").json()["id"]
        with events(client, f"/v1/documents/{document}/events") as sent:
            next(sent)
            client.http.delete(f"/v1/documents/{document}").raise_for_status()
            assert [(name, body) for _, name, body in sent] == [("end", {"id": document, "state": "deleted"})]


def test_a_batch_is_one_object_with_counts_progress_and_a_list_of_failures(client: Client) -> None:
    made = client.http.post("/v1/batches", json={"name": "March"})
    assert (made.status_code, made.headers["location"]) == (201, f"/v1/batches/{made.json()['id']}")
    identifier = made.json()["id"]
    known = upload(client, b"A letter that was there.").json()["id"]
    sent = [
        upload(client, f"Letter {n} to Nantucket.".encode(), f"{n}.md", batch=identifier).json()["id"] for n in range(3)
    ]
    problem(upload(client, FILM, "seal.mp4", batch=identifier), 415, "unsupported_type")
    form: Any = [
        ("batch", (None, identifier)),
        ("files", ("torn.pdf", BROKEN)),
        ("files", ("empty.md", b"")),
        ("files", ("there.md", b"A letter that was there.")),
    ]
    assert client.http.post("/v1/documents", files=form).status_code == 202
    client.post(f"/v1/batches/{identifier}/close", {})
    with events(client, f"/v1/batches/{identifier}/events") as followed:
        *_, (_, name, end) = followed
    assert (name, end["state"]) == ("end", "completed")
    assert end == client.get(f"/v1/batches/{identifier}")
    assert end["counts"] == {
        "expected": None,
        "received": 7,
        "duplicates": 1,
        "refused": 2,
        "documents": {"ready": 4, "failed": 1},
    }
    assert (end["progress"]["fraction"], end["progress"]["files"], end["progress"]["files_done"]) == (1.0, 7, 7)
    assert known not in sent
    found = list(client.listed(f"/v1/batches/{identifier}/failures", "failures"))
    assert [(f["name"], f["refused"], f["failure"]["code"]) for f in found] == [
        ("seal.mp4", True, "unsupported_type"),
        ("torn.pdf", False, "document_damaged"),
        ("empty.md", True, "empty_file"),
    ]
    assert all(f["failure"]["hint"] for f in found)
    page = client.get(f"/v1/batches/{identifier}/failures", limit=2)
    rest = client.get(f"/v1/batches/{identifier}/failures", limit=2, cursor=page["next_cursor"])
    assert (page["failures"] + rest["failures"], rest["next_cursor"]) == (found, None)
    problem(upload(client, b"Too late.", batch=identifier), 409, "batch_state")


def test_a_cancelled_batch_ends_for_who_follows_it_and_its_documents_are_cancelled(
    client: Client, services: Services
) -> None:
    with paused(services, JobKind.INGEST):
        identifier = batch(client, expected=50)
        documents = [upload(client, f"Draft {n}.".encode(), batch=identifier).json()["id"] for n in range(3)]
        with (
            events(client, f"/v1/batches/{identifier}/events") as followed,
            events(client, f"/v1/documents/{documents[0]}/events") as one,
        ):
            name, body = next(followed)[1:]
            assert (name, body["state"], body["progress"]["files"]) == ("snapshot", "open", 50)
            next(one)
            cancelled = client.post(f"/v1/batches/{identifier}/cancel", {})
            assert (cancelled["state"], cancelled["counts"]["documents"]) == ("cancelled", {"cancelled": 3})
            assert [(name, body["state"]) for _, name, body in followed][-1] == ("end", "cancelled")
            assert [(name, body["state"]) for _, name, body in one][-1] == ("end", "cancelled")
    problem(upload(client, b"Draft 4.", batch=identifier), 409, "batch_state")
    assert client.post(f"/v1/batches/{identifier}/cancel", {}) == cancelled


def test_a_replacement_may_be_sent_into_a_batch(client: Client) -> None:
    created = upload(client, b"The chart of 1819.")
    with events(client, f"/v1/documents/{created.json()['id']}/events") as sent:
        list(sent)
    identifier = batch(client, expected=1)
    put = client.http.put(
        f"/v1/documents/{created.json()['id']}",
        params={"batch": identifier},
        headers={"If-Match": "*"},
        content=b"The chart of 1820.",
    )
    assert put.status_code == 202
    with events(client, f"/v1/batches/{identifier}/events") as followed:
        *_, (_, name, end) = followed
    assert (name, end["counts"]["documents"]) == ("end", {"ready": 1})


def test_a_batch_is_made_once_however_often_it_is_asked_for_with_one_key(client: Client) -> None:
    def make(name: str) -> httpx.Response:
        return client.http.post("/v1/batches", json={"name": name}, headers={"Idempotency-Key": "k1"})

    first, again = make("April"), make("April")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    problem(make("May"), 422, "idempotency_key_reused")


def test_batches_are_listed_newest_first_a_page_at_a_time(client: Client) -> None:
    made = [batch(client, name=f"page {n}") for n in range(3)]
    page = client.get("/v1/batches", limit=2)
    rest = client.get("/v1/batches", limit=2, cursor=page["next_cursor"])
    assert [found["id"] for found in page["batches"] + rest["batches"]][:3] == made[::-1]
    problem(client.http.get("/v1/batches", params={"cursor": "?"}), 400, "bad_request")


def test_another_tenants_batch_and_one_that_never_was_are_the_same(
    client: Client, service: tuple[Services, Client]
) -> None:
    identifier = batch(client, name="secret")
    document = upload(client, b"A secret draft.", batch=identifier).json()["id"]
    headers = other_tenant(*service)
    paths = [("GET", ""), ("GET", "/events"), ("GET", "/failures"), ("POST", "/cancel"), ("POST", "/close")]
    for method, rest in paths:
        theirs = client.http.request(method, f"/v1/batches/{identifier}{rest}", headers=headers)
        unknown = client.http.request(method, f"/v1/batches/{'0' * 36}{rest}")
        assert without_request(theirs, identifier) == without_request(unknown, "0" * 36)
        problem(theirs, 404, "batch_not_found")
    assert client.get(f"/v1/batches/{identifier}")["state"] == "open"
    assert client.http.get("/v1/batches", headers=headers).json()["batches"] == []
    theirs = client.http.post("/v1/documents", params={"batch": identifier}, content=b"Mine.", headers=headers)
    problem(theirs, 404, "batch_not_found")
    problem(client.http.get(f"/v1/documents/{document}/events", headers=headers), 404, "document_not_found")


def without_request(response: httpx.Response, identifier: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.text.replace(identifier, "ID"))
    return {name: value for name, value in body.items() if name != "request_id"}


@pytest.mark.parametrize("body", [{"expected": 0}, {"name": "x" * 201}, {"nmae": "x"}, []])
def test_a_batch_that_cannot_be_is_refused(client: Client, body: object) -> None:
    problem(client.http.post("/v1/batches", json=body), 422, "invalid_request")


def test_a_stream_ends_when_the_service_stops(tmp_path: Path) -> None:
    with running(tmp_path) as (services, client):
        services.jobs.pause_kind(JobKind.INGEST)
        document = upload(client, b"Unfinished.").json()["id"]
        with events(client, f"/v1/documents/{document}/events") as sent:
            next(sent)
            services.accepting = False
            assert list(sent) == []
