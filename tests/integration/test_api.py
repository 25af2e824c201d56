"""The REST interface over a real service: real server, catalog, engine, parser process and worker threads."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.admission.services import Services
from api.client import Client
from ingest.storage.queue.records import JobKind
from tests.support.blob_paths import blob_path
from tests.support.events import streamed_answer
from tests.support.pdf_files import pdf
from tests.support.service import running
from tests.support.zip_files import ole

WHALE = b"# The Whale\n\nThe white whale was seen off the coast of Japan in 1819. It had a crooked jaw.\n"
SHIP = b"# The Ship\n\nThe ship had three masts. Her captain was called Peleg.\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path_factory.mktemp("home"), max_upload_bytes=200_000) as found:
        yield found


@pytest.fixture
def client(service: tuple[Services, Client]) -> Client:
    return service[1]


def other_tenant(services: Services, client: Client) -> dict[str, str]:
    services.documents.catalog.ensure_tenant("other")
    return {"Authorization": f"Bearer {services.keys.issue_key('other', 'test')[1]}"}


def upload(client: Client, content: bytes, name: str = "a.md", **params: str) -> httpx.Response:
    return client.http.post("/v1/documents", params={"name": name, **params}, content=content)


def ready(client: Client, document: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.get(f"/v1/documents/{document}")
        if found["state"] in ("ready", "failed"):
            return found
        time.sleep(0.02)
    raise AssertionError(f"still {found['state']}")


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    body: dict[str, Any] = response.json()
    assert (body["code"], body["status"]) == (code, status)
    assert body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    return body


def test_a_document_goes_from_accepted_to_ready_and_is_found_by_words_and_by_meaning(client: Client) -> None:
    response = upload(client, WHALE, "whale.md", collection="life")
    assert response.status_code == 202
    document = response.json()
    assert response.headers["location"] == f"/v1/documents/{document['id']}"
    done = ready(client, document["id"])
    assert (done["state"], done["title"], done["media_type"]) == ("ready", "The Whale", "text/markdown")
    assert done["progress"] == {
        "stage": "ready",
        "fraction": 1.0,
        "pages": None,
        "pages_done": None,
        "chunks": 1,
        "chunks_embedded": 1,
        "attempt": None,
        "queue_position": None,
        "seconds_left": 0.0,
    }
    for mode in ("bm25", "dense", "hybrid"):
        hits = client.post("/v1/search", {"query": "crooked jaw of the whale", "mode": mode, "collections": ["life"]})[
            "hits"
        ]
        assert hits[0]["document"] == document["id"]
        text = client.http.get(f"/v1/documents/{document['id']}/content").text
        assert hits[0]["text"] == text[hits[0]["start"] : hits[0]["end"]]
    assert set(hits[0]["why"]) == {"bm25", "dense"}


def test_the_same_bytes_twice_are_one_document(client: Client) -> None:
    first, again = upload(client, b"once only"), upload(client, b"once only", "b.txt")
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["duplicate"] is True


def test_a_form_takes_many_files_and_a_refused_one_does_not_stop_the_rest(client: Client) -> None:
    files: Any = [
        ("metadata", (None, '{"year": 1851}')),
        ("collection", (None, "mixed")),
        ("files", ("ship.md", SHIP)),
        ("files", ("empty.txt", b"")),
        ("files", ("film.txt", b"\0\0\0\x18ftypmp42" + bytes(200))),
        ("files", ("../../etc/notes.txt", b"Plain notes about rigging.")),
    ]
    response = client.http.post("/v1/documents", files=files)
    assert response.status_code == 202
    body = response.json()
    assert [d["name"] for d in body["documents"]] == ["ship.md", "notes.txt"]
    assert {r["name"]: r["problem"]["code"] for r in body["rejected"]} == {
        "empty.txt": "empty_file",
        "film.txt": "unsupported_type",
    }
    assert body["documents"][0]["metadata"] == {"year": 1851}
    assert body["documents"][0]["collection"] == "mixed"


@pytest.mark.parametrize("collection", ["", "two words", "nul\0", "x" * 129])
def test_a_form_cannot_name_a_collection_that_a_query_could_not(client: Client, collection: str) -> None:
    files: Any = [("collection", (None, collection)), ("files", ("ship.md", SHIP))]
    expected = (422, "invalid_request") if "\0" in collection else (400, "bad_request")
    problem(client.http.post("/v1/documents", files=files), *expected)


def test_a_deleted_document_is_not_retrievable_and_leaves_a_receipt(
    client: Client, service: tuple[Services, Client]
) -> None:
    document = upload(client, b"The kraken sleeps beneath the thunders.").json()["id"]
    ready(client, document)
    receipt = client.http.delete(f"/v1/documents/{document}").json()
    assert (receipt["id"], receipt["versions"], receipt["chunks_removed"]) == (document, 1, 1)
    assert receipt["bytes_removed"] > 0
    assert receipt["collected"] is True
    assert client.http.delete(f"/v1/documents/{document}").json() == receipt
    assert client.get(f"/v1/documents/{document}/deletion") == receipt
    problem(client.http.delete("/v1/documents/unknown"), 404, "document_not_found")
    problem(client.http.get("/v1/documents/unknown/deletion"), 404, "document_not_found")
    headers = other_tenant(*service)
    problem(client.http.get(f"/v1/documents/{document}/deletion", headers=headers), 404, "document_not_found")
    problem(client.http.delete(f"/v1/documents/{document}", headers=headers), 404, "document_not_found")
    assert all(hit["document"] != document for hit in client.post("/v1/search", {"query": "kraken thunders"})["hits"])
    problem(client.http.get(f"/v1/documents/{document}"), 404, "document_not_found")
    problem(client.http.get(f"/v1/documents/{document}/content"), 404, "document_not_found")
    assert upload(client, b"The kraken sleeps beneath the thunders.").json()["id"] != document


def test_a_document_is_cancelled_while_it_waits_and_the_same_bytes_start_over(
    client: Client, service: tuple[Services, Client]
) -> None:
    service[0].jobs.pause_kind(JobKind.INGEST)
    document = upload(client, b"Second thoughts about the anchor.").json()["id"]
    cancelled = client.post(f"/v1/documents/{document}/cancel", {})
    assert (cancelled["id"], cancelled["state"]) == (document, "cancelled")
    problem(client.http.post(f"/v1/documents/{document}/cancel"), 409, "document_state")
    problem(client.http.post("/v1/documents/unknown/cancel"), 404, "document_not_found")
    for part in ("content", "original"):
        problem(client.http.get(f"/v1/documents/{document}/{part}"), 409, "document_state")
    again = upload(client, b"Second thoughts about the anchor.", priority="bulk")
    assert (again.status_code, again.json()["id"], again.json()["duplicate"]) == (202, document, False)
    service[0].jobs.resume_kind(JobKind.INGEST)
    service[0].work.doorbell.notify(JobKind.INGEST)
    assert ready(client, document)["state"] == "ready"
    problem(client.http.post(f"/v1/documents/{document}/cancel"), 409, "document_state")


def put(client: Client, document: str, content: bytes, tag: str | None, **params: str) -> httpx.Response:
    headers = {} if tag is None else {"If-Match": tag}
    return client.http.put(f"/v1/documents/{document}", params=params, headers=headers, content=content)


def test_a_document_is_replaced_by_who_has_seen_its_latest_version(
    client: Client, service: tuple[Services, Client]
) -> None:
    created = upload(client, b"# Log\n\nThe albatross followed the ship.", "log.md", collection="logs")
    document = created.json()["id"]
    done = ready(client, document)
    tag = client.http.get(f"/v1/documents/{document}").headers["etag"]
    assert (tag, done["active_version"]) == (created.headers["etag"], done["version"])
    service[0].jobs.pause_kind(JobKind.EMBED)
    replaced = put(client, document, b"# Log\n\nThe petrel left the ship.", tag, name="log-2.md")
    assert (replaced.status_code, replaced.json()["duplicate"], replaced.json()["id"]) == (202, False, document)
    assert replaced.headers["etag"] not in (tag, "")
    assert [hit["document"] for hit in found(client, "albatross")] == [document]
    assert "albatross" in client.http.get(f"/v1/documents/{document}/content").text
    service[0].jobs.resume_kind(JobKind.EMBED)
    service[0].work.doorbell.notify(JobKind.INGEST)
    done = ready(client, document)
    assert (done["state"], done["name"], done["active_version"]) == ("ready", "log-2.md", done["version"])
    assert [hit["version"] for hit in found(client, "petrel")] == [done["version"]]
    assert found(client, "albatross") == []
    content = client.http.get(f"/v1/documents/{document}/content")
    assert "petrel" in content.text
    assert content.headers["etag"] == replaced.headers["etag"]
    assert client.http.get(f"/v1/documents/{document}/original").content.endswith(b"petrel left the ship.")
    assert put(client, document, b"# Log\n\nThe petrel left the ship.", replaced.headers["etag"]).status_code == 200


def found(client: Client, query: str) -> list[dict[str, Any]]:
    body = {"query": query, "collections": ["logs"], "mode": "bm25"}
    hits: list[dict[str, Any]] = client.post("/v1/search", body)["hits"]
    return hits


def test_replacing_without_or_with_an_old_tag_is_refused_and_changes_nothing(
    client: Client, service: tuple[Services, Client]
) -> None:
    created = upload(client, b"The first mate's list.", collection="logs")
    document, tag = created.json()["id"], created.headers["etag"]
    ready(client, document)
    problem(put(client, document, b"new", None), 428, "precondition_required")
    for old in ('"another"', f"W/{tag}", '"x", "y"'):
        problem(put(client, document, b"new", old), 412, "precondition_failed")
    problem(put(client, document, b"new", "no quotes"), 400, "bad_request")
    problem(put(client, document, b"", tag), 422, "empty_file")
    problem(put(client, "unknown", b"new", "*"), 404, "document_not_found")
    other = other_tenant(*service)
    theirs = client.http.put(f"/v1/documents/{document}", content=b"new", headers={"If-Match": "*", **other})
    problem(theirs, 404, "document_not_found")
    form = client.http.put(f"/v1/documents/{document}", files={"f": b"new"}, headers={"If-Match": "*"})
    problem(form, 400, "bad_request")
    assert client.http.get(f"/v1/documents/{document}").headers["etag"] == tag
    assert put(client, document, b"Any state of the list will do.", "*").status_code == 202


def test_content_is_read_by_code_points_and_the_original_by_bytes(client: Client) -> None:
    document = upload(client, "Élan vital, naïve façade.\r\nSecond line".encode(), "é.txt").json()["id"]
    ready(client, document)
    content = client.http.get(f"/v1/documents/{document}/content", params={"start": 5, "end": 10})
    assert content.text == "vital"
    original = client.http.get(f"/v1/documents/{document}/original")
    assert original.content == "Élan vital, naïve façade.\r\nSecond line".encode()
    assert original.headers["content-disposition"].startswith("attachment")


def test_listing_pages_through_every_document_once(client: Client) -> None:
    names = {upload(client, f"page test {n}".encode(), f"p{n}.txt", collection="pages").json()["id"] for n in range(5)}
    seen: list[str] = []
    cursor = None
    while True:
        page = client.get("/v1/documents", collection="pages", limit=2, cursor=cursor)
        seen += [document["id"] for document in page["documents"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 5
    assert set(seen) == names
    problem(client.http.get("/v1/documents", params={"cursor": "?"}), 400, "bad_request")


@pytest.mark.parametrize(
    ("content", "name", "status", "code"),
    [
        (b"", "empty.txt", 422, "empty_file"),
        (b"\x7fELF\x02\x01\x01" + bytes(500), "notes.txt", 415, "unsupported_type"),
        (ole("WordDocument"), "old.doc", 415, "unsupported_type"),
        (b"x" * 200_001, "big.txt", 413, "file_too_large"),
    ],
)
def test_a_bad_upload_gets_a_problem_with_the_next_step_and_nothing_is_kept(
    client: Client, content: bytes, name: str, status: int, code: str
) -> None:
    before = client.get("/v1/status")["documents"]
    assert problem(upload(client, content, name), status, code)["hint"]
    assert sum(client.get("/v1/status")["documents"].values()) == sum(before.values())


def test_a_file_without_a_readable_text_fails_with_its_reason(client: Client) -> None:
    document = upload(client, b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog", "broken.pdf").json()["id"]
    failed = ready(client, document)
    assert failed["state"] == "failed"
    assert failed["failure"]["code"] == "document_damaged"
    assert failed["failure"]["hint"]
    assert failed["failure"]["retryable"] is False  # the same bytes would fail again


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer ll_no_key"}, {"Authorization": "Basic eDp5"}])
@pytest.mark.parametrize("path", ["/v1/documents", "/v1/status"])
def test_without_a_valid_key_nothing_is_told(client: Client, path: str, header: dict[str, str]) -> None:
    with httpx.Client(transport=client.http._transport, base_url="http://leadline") as anonymous:
        response = anonymous.get(path, headers=header)
        assert problem(response, 401, "unauthorized")["hint"]
        assert response.headers["www-authenticate"] == "Bearer"


def test_another_tenant_sees_and_changes_nothing(client: Client, service: tuple[Services, Client]) -> None:
    document = upload(client, b"A secret recipe for ship's biscuit.").json()["id"]
    ready(client, document)
    headers = other_tenant(service[0], client)
    for method, path in [
        ("GET", f"/v1/documents/{document}"),
        ("GET", f"/v1/documents/{document}/content"),
        ("GET", f"/v1/documents/{document}/original"),
        ("DELETE", f"/v1/documents/{document}"),
    ]:
        problem(client.http.request(method, path, headers=headers), 404, "document_not_found")
    for mode in ("bm25", "dense", "hybrid"):
        found = client.http.post("/v1/search", json={"query": "biscuit recipe", "mode": mode}, headers=headers)
        assert found.json()["hits"] == []
    scoped = {"query": "biscuit recipe", "documents": [document]}
    assert client.http.post("/v1/search", json=scoped, headers=headers).json()["hits"] == []
    answer = client.http.post("/v1/answers", json={"question": "What is the biscuit recipe?"}, headers=headers).json()
    assert (answer["status"], answer["citations"]) == ("not_found", [])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": ""}, "query_invalid"),
        ({"query": "x" * 50_000}, "invalid_request"),
        ({"query": "x", "top_k": 0}, "invalid_request"),
        ({"query": "x", "top_k": 10_000_000}, "invalid_request"),
        ({"query": "x", "mode": "psychic"}, "invalid_request"),
        ({"query": "x", "tok_p": 3}, "invalid_request"),
    ],
)
def test_a_bad_search_gets_a_problem(client: Client, body: dict[str, Any], code: str) -> None:
    problem(client.http.post("/v1/search", json=body), 422, code)


@pytest.mark.parametrize("query", ["the of and", "?!...", "\U0001f600\U0001f40b", "何でも", "a" * 8000, "%_'\"\\;--"])
def test_an_odd_search_is_answered(client: Client, query: str) -> None:
    assert client.http.post("/v1/search", json={"query": query}).status_code == 200


def test_a_question_of_a_hundred_thousand_characters_is_refused_with_the_limit(client: Client) -> None:
    body = problem(client.http.post("/v1/answers", json={"question": "why " * 25_000}), 422, "question_too_long")
    assert "100,000" in body["detail"]
    problem(client.http.post("/v1/answers", json={"question": " ?"}), 422, "question_empty")


def test_without_a_language_model_an_answer_is_extractive_and_says_so(client: Client) -> None:
    ready(client, upload(client, WHALE + b"\nIt weighed ninety tons.", "tons.md").json()["id"])
    answer = client.post("/v1/answers", {"question": "How many tons did the whale weigh?"})
    assert (answer["status"], answer["model"]) == ("extractive", None)
    assert answer["citations"]
    for citation in answer["citations"]:
        text = client.http.get(f"/v1/documents/{citation['document_id']}/content").text
        assert text[citation["start"] : citation["end"]] == citation["quote"]


def test_a_citation_names_the_page_its_quotation_stands_on(client: Client) -> None:
    pages = [["The first page tells of brass bells."], ["The second page tells of the walrus Ottokar, who sang."]]
    document = ready(client, upload(client, pdf(pages), "two.pdf").json()["id"])
    assert document["pages"] == 2
    answer = client.post("/v1/answers", {"question": "Who is the walrus that sang?", "documents": [document["id"]]})
    sang = [citation for citation in answer["citations"] if "Ottokar" in citation["quote"]]
    assert [(citation["page"], citation["place"]) for citation in sang] == [(2, "page 2")]


def test_a_streamed_answer_ends_with_the_same_answer(client: Client) -> None:
    ready(client, upload(client, SHIP + b"\nHer keel was laid in Nantucket.", "keel.md").json()["id"])
    events = streamed_answer(client, question="Where was the keel laid?")
    names = [name for name, _ in events]
    assert names[:2] == ["routed", "retrieved"]
    assert names[-1] == "completed"
    assert "".join(data["text"] for name, data in events if name == "delta") == events[-1][1]["text"]


@pytest.mark.parametrize("body", [{"strategy": "guess"}, {"strategy": "exhaustive"}, {"budget": {"calls": -1}}])
def test_a_way_of_answering_that_there_is_not_is_refused(client: Client, body: dict[str, Any]) -> None:
    problem(client.http.post("/v1/answers", json={"question": "Who?", **body}), 422, "invalid_request")


def test_an_answer_stays_in_its_conversation_and_quotes_no_document_that_was_deleted(client: Client) -> None:
    document = ready(client, upload(client, SHIP + b"\nHer figurehead was a heron.", "heron.md").json()["id"])
    asked = {"question": "What was the figurehead?", "documents": [document["id"]]}
    first = client.post("/v1/answers", {**asked, "conversation": "new"})
    talk = first["conversation"]
    client.post("/v1/answers", {**asked, "question": "Which bird was it, the heron?", "conversation": talk})
    turns = client.get(f"/v1/conversations/{talk}")["turns"]
    assert [turn["question"] for turn in turns] == ["What was the figurehead?", "Which bird was it, the heron?"]
    assert turns[0]["answer"] == first
    assert "heron" in first["citations"][0]["quote"]
    client.delete(f"/v1/documents/{document['id']}")
    assert all(each["quote"] == "" for each in client.get(f"/v1/answers/{first['id']}")["citations"])


def test_unknown_routes_methods_and_bad_json_are_problems_too(client: Client) -> None:
    problem(client.http.get("/v1/nothing"), 404, "not_found")
    problem(client.http.put("/v1/search"), 405, "method_not_allowed")
    problem(
        client.http.post("/v1/search", content=b"{", headers={"content-type": "application/json"}),
        422,
        "invalid_request",
    )
    problem(
        client.http.post("/v1/documents", content=b"--x", headers={"content-type": "multipart/form-data"}),
        400,
        "bad_request",
    )


def test_the_type_of_a_problem_can_be_looked_up(client: Client) -> None:
    body = problem(upload(client, b"", "e.txt"), 422, "empty_file")
    explained = client.http.get(body["type"]).json()
    assert (explained["code"], explained["status"]) == ("empty_file", 422)
    assert explained["hint"] == body["hint"]


def test_health_says_what_is_ready_without_a_key(client: Client) -> None:
    with httpx.Client(transport=client.http._transport, base_url="http://leadline") as anonymous:
        assert anonymous.get("/health/live").json() == {"status": "alive"}
        body = anonymous.get("/health/ready").json()
    assert body["status"] == "ready"
    assert body["parts"]["language_model"]["state"] == "none"


def test_a_client_that_goes_away_in_mid_upload_leaves_nothing(client: Client, service: tuple[Services, Client]) -> None:
    def half() -> Iterator[bytes]:
        yield b"some text " * 100
        raise ConnectionError("the client died")

    before = sum(client.get("/v1/status")["documents"].values())
    with pytest.raises(ConnectionError):
        client.http.post("/v1/documents", content=half())
    incoming = blob_path(service[0], "incoming")
    deadline = time.monotonic() + 120
    while list(incoming.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(incoming.iterdir()) == []
    assert sum(client.get("/v1/status")["documents"].values()) == before


def test_a_start_below_the_free_space_watermark_refuses_uploads_with_507(tmp_path: Path) -> None:
    with running(tmp_path, min_free_bytes=10**15) as (_, client):
        response = upload(client, b"text")
        problem(response, 507, "storage_full")
        assert response.headers["retry-after"]


def test_the_openapi_description_can_be_made(client: Client) -> None:
    description = json.loads(client.http.get("/openapi.json").content)
    assert "/v1/documents" in description["paths"]
