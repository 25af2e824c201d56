"""The real OpenAI client, as it is, against a running service: files, vector stores, file batches and their search."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError, OpenAI

from api.admission.services import DEFAULT_TENANT
from ingest.storage.queue.records import JobKind
from ingest.storage.quotas.records import Account, Quota
from tests.support.cluster import wait_until
from tests.support.harbour import KEEPER, Harbour, Model, harbour

ANSWER = "Ada Brandt kept it [1]."
BOOK = b"# Lighthouses\n\nThe keeper of the lighthouse was Ada Brandt. She lit the lamp for the first time in 1871.\n"
LOG = b"# Log\n\nOn Monday the fog horn of the lighthouse was sounded for nine hours.\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), Model()) as made:
        yield made


@pytest.fixture(scope="module")
def openai(service: Harbour) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{service.url}/v1", api_key=service.key, max_retries=0) as client:
        yield client


def named(name: str, content: bytes) -> Any:  # noqa: ANN401 - the client takes many forms of file
    return (name, content)


def test_a_file_is_kept_listed_read_and_deleted(openai: OpenAI, service: Harbour) -> None:
    sent = openai.files.create(file=named("book.md", BOOK), purpose="assistants")
    assert (sent.object, sent.filename, sent.bytes, sent.purpose) == ("file", "book.md", len(BOOK), "assistants")
    assert abs(sent.created_at - time.time()) < 60
    assert openai.files.retrieve(sent.id) == sent
    assert openai.files.content(sent.id).read() == BOOK
    every = [each.id for each in openai.files.list(limit=1)]
    assert every[0] == sent.id  # newest first, over as many pages as it takes
    documents = service.client.get("/v1/documents")["documents"]
    assert set(every[1:]) == {each["id"] for each in documents}
    assert [each.id for each in openai.files.list(limit=1, order="asc")] == every[::-1]
    assert [each.id for each in openai.files.list(purpose="user_data")] == []
    assert service.client.post("/v1/search", {"query": "lighthouse", "mode": "bm25"})["hits"][0]["title"] == "Harbour"
    assert openai.files.delete(sent.id).deleted
    for gone in (openai.files.retrieve, openai.files.content, openai.files.delete):
        with pytest.raises(NotFoundError, match=r"File .* not found") as error:
            gone(sent.id)
        assert error.value.code == "file_not_found"


def test_what_cannot_be_kept_is_refused_in_words(openai: OpenAI) -> None:
    purposes: Any = ("fine-tune", "batch")
    for purpose in purposes:
        with pytest.raises(BadRequestError, match="is not supported"):
            openai.files.create(file=named("book.md", BOOK), purpose=purpose)
    expiry: Any = {"anchor": "created_at", "seconds": 60}
    with pytest.raises(BadRequestError, match="3,600 to 2,592,000 seconds"):
        openai.files.create(file=named("book.md", BOOK), purpose="assistants", expires_after=expiry)
    with pytest.raises(APIStatusError) as error:
        openai.files.create(file=named("program", b"\x7fELF\0\0\0\0" * 9), purpose="assistants")
    assert (error.value.status_code, error.value.code) == (415, "unsupported_type")
    with pytest.raises(APIStatusError, match="days"):
        openai.vector_stores.create(name="x", expires_after={"anchor": "last_active_at", "days": 0})
    static: Any = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}
    with pytest.raises(APIStatusError, match="chunked along their structure"):
        openai.vector_stores.create(name="x", chunking_strategy=static)
    assert [each.name for each in openai.vector_stores.list()] == ["default"]
    assert len(list(openai.files.list())) == 2


def test_upload_store_poll_search_ask_and_delete(openai: OpenAI, service: Harbour) -> None:
    store = openai.vector_stores.create(name="The coast", metadata={"team": "pilots"})
    assert (store.name, store.status, store.metadata) == ("The coast", "completed", {"team": "pilots"})
    file = openai.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=named("book.md", BOOK), attributes={"year": 1871, "kind": "book"}
    )
    assert (file.status, file.last_error, file.vector_store_id) == ("completed", None, store.id)
    assert file.attributes == {"year": 1871, "kind": "book"}
    other = openai.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=named("log.md", LOG), attributes={"year": 1900, "kind": "log"}
    )
    shown = openai.vector_stores.retrieve(store.id)
    assert (shown.file_counts.completed, shown.file_counts.total) == (2, 2)
    assert shown.usage_bytes == len(BOOK) + len(LOG)

    found = list(openai.vector_stores.search(store.id, query=KEEPER))
    assert (found[0].file_id, found[0].filename, found[0].score) == (file.id, "book.md", 1.0)
    assert "Ada Brandt" in found[0].content[0].text
    assert found[0].attributes == {"year": 1871, "kind": "book"}
    assert all(0 <= each.score <= 1 for each in found)

    tool: Any = {"type": "file_search", "vector_store_ids": [store.id], "max_num_results": 1}
    made = openai.responses.create(model="leadline", input=KEEPER, tools=[tool], include=["file_search_call.results"])
    assert made.output_text == ANSWER
    search, message = made.output
    assert search.type == "file_search_call"
    assert search.results is not None
    (result,) = search.results
    assert (result.file_id, result.filename, result.attributes) == (file.id, "book.md", {"year": 1871, "kind": "book"})
    assert message.type == "message"
    content = message.content[0]
    assert content.type == "output_text"
    cited = content.annotations[0]
    assert cited.type == "file_citation"
    assert (cited.file_id, cited.filename) == (file.id, "book.md")
    assert ANSWER[: cited.index].endswith("[1]")
    assert openai.responses.create(model=f"leadline/{store.id}", input=KEEPER).output_text == ANSWER

    assert openai.vector_stores.files.delete(other.id, vector_store_id=store.id).deleted
    assert openai.files.retrieve(other.id).filename == "log.md"  # a file outlives its place in a store
    assert openai.files.delete(file.id).deleted  # and takes its places with it
    assert list(openai.vector_stores.search(store.id, query=KEEPER)) == []
    assert list(openai.vector_stores.files.list(store.id)) == []
    assert openai.vector_stores.delete(store.id).deleted
    with pytest.raises(NotFoundError):
        openai.vector_stores.retrieve(store.id)
    openai.files.delete(other.id)
    blobs = service.client.get("/v1/status")["documents"]
    assert blobs == {"ready": 2}


def test_filters_compare_and_join_as_the_protocol_says(openai: OpenAI) -> None:
    store = openai.vector_stores.create(name="filters")
    ids = {}
    for year, kind, content in ((1871, "book", BOOK), (1900, "log", LOG)):
        sent = openai.files.create(file=named(f"{kind}.md", content), purpose="assistants")
        openai.vector_stores.files.create_and_poll(
            sent.id, vector_store_id=store.id, attributes={"year": year, "kind": kind}
        )
        ids[sent.id] = kind

    def kinds(filters: Any) -> set[str]:  # noqa: ANN401 - the client's own types
        return {
            ids[each.file_id] for each in openai.vector_stores.search(store.id, query="lighthouse", filters=filters)
        }

    def one(kind: str, key: str, value: object) -> dict[str, Any]:
        return {"type": kind, "key": key, "value": value}

    book, log = one("eq", "kind", "book"), one("eq", "kind", "log")
    assert kinds(book) == {"book"}
    assert kinds(one("ne", "kind", "book")) == {"log"}
    assert kinds(one("in", "kind", ["book", "log"])) == {"book", "log"}
    assert kinds(one("nin", "kind", ["book"])) == {"log"}
    assert kinds(one("lt", "year", 1900)) == {"book"}
    assert kinds(one("gte", "year", 1871)) == {"book", "log"}
    assert kinds({"type": "or", "filters": [book, log]}) == {"book", "log"}
    assert kinds({"type": "and", "filters": [book, log]}) == set()
    both = {"type": "and", "filters": [one("gt", "year", 1880), {"type": "or", "filters": [book, log]}]}
    assert kinds(both) == {"log"}
    for wrong in ({"type": "like", "key": "kind", "value": "b"}, {"type": "or", "filters": []}):
        with pytest.raises(BadRequestError):
            kinds(wrong)
    options: Any = {"ranker": "none", "score_threshold": 0.99}
    page = openai.vector_stores.search(store.id, query=[KEEPER, "Ada Brandt"], ranking_options=options)
    assert [ids[each.file_id] for each in page] == ["book"]
    assert len(list(openai.vector_stores.search(store.id, query="lighthouse", max_num_results=1))) == 1
    openai.vector_stores.files.update(next(iter(ids)), vector_store_id=store.id, attributes={"kind": "novel"})
    assert kinds(book) == set()
    changed = openai.vector_stores.files.retrieve(next(iter(ids)), vector_store_id=store.id)
    assert changed.attributes == {"kind": "novel"}
    openai.vector_stores.delete(store.id)
    for each in ids:
        openai.files.delete(each)


def test_files_are_put_in_together_listed_by_status_and_read(openai: OpenAI) -> None:
    store = openai.vector_stores.create(name="together")
    batch = openai.vector_stores.file_batches.upload_and_poll(
        store.id, files=[named("book.md", BOOK), named("log.md", LOG), named("bad.pdf", b"%PDF-1.7\nno pages\n")]
    )
    assert batch.status == "completed"
    counts = batch.file_counts
    assert (counts.completed, counts.failed, counts.in_progress, counts.total) == (2, 1, 0, 3)
    assert openai.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id) == batch
    assert openai.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id) == batch
    listed = list(openai.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, limit=1))
    assert {each.id for each in listed} == {each.id for each in openai.vector_stores.files.list(store.id)}
    (failed,) = openai.vector_stores.files.list(store.id, filter="failed")
    assert failed.last_error is not None
    assert failed.last_error.code == "invalid_file"
    done = list(openai.vector_stores.files.list(store.id, filter="completed", order="asc", limit=1))
    assert len(done) == 2
    before = openai.vector_stores.files.list(store.id, order="asc", before=listed[0].id, limit=100)
    ascending = list(openai.vector_stores.files.list(store.id, order="asc"))
    assert [each.id for each in before.data] == [each.id for each in ascending][: len(before.data)]
    book = next(each for each in done if openai.files.retrieve(each.id).filename == "book.md")
    parts = list(openai.vector_stores.files.content(book.id, vector_store_id=store.id))
    assert "".join(part.text or "" for part in parts).startswith("# Lighthouses")
    with pytest.raises(APIStatusError, match="has no text yet"):
        openai.vector_stores.files.content(failed.id, vector_store_id=store.id)
    with pytest.raises(NotFoundError):
        openai.vector_stores.file_batches.retrieve(batch.id, vector_store_id="default")
    openai.vector_stores.delete(store.id)
    for each in ascending:
        openai.files.delete(each.id)


def test_an_unknown_file_of_a_batch_counts_as_failed_and_the_others_go_on(openai: OpenAI) -> None:
    store = openai.vector_stores.create(name="with a typo")
    sent = openai.files.create(file=named("book.md", BOOK), purpose="assistants")
    batch = openai.vector_stores.file_batches.create_and_poll(store.id, file_ids=["file-nope", sent.id])
    counts = batch.file_counts
    assert (batch.status, counts.completed, counts.failed, counts.total) == ("completed", 1, 1, 2)
    assert [each.id for each in openai.vector_stores.files.list(store.id)] == [sent.id]
    openai.vector_stores.delete(store.id)
    openai.files.delete(sent.id)


def test_an_empty_query_is_refused_in_words_that_are_not_a_librarys(openai: OpenAI) -> None:
    with pytest.raises(APIStatusError) as error:
        openai.vector_stores.search("default", query="")
    assert error.value.message.endswith(
        "body.query: a query has 1 to 8,000 characters. Correct the fields named in `errors`; /docs describes them."
    )
    assert error.value.param == "query"


def test_a_file_may_be_in_several_stores_and_is_in_each_until_it_is_taken_out(openai: OpenAI) -> None:
    sent = openai.files.create(file=named("book.md", BOOK), purpose="assistants")
    stores = [openai.vector_stores.create(name=name, file_ids=[sent.id]) for name in ("one", "two")]
    for store in stores:
        again = openai.vector_stores.files.create_and_poll(sent.id, vector_store_id=store.id)
        assert (again.id, again.status) == (sent.id, "completed")
        assert openai.vector_stores.retrieve(store.id).file_counts.total == 1
    one, two = stores
    openai.vector_stores.files.delete(sent.id, vector_store_id=one.id)
    with pytest.raises(NotFoundError, match="not found in the vector store"):
        openai.vector_stores.files.retrieve(sent.id, vector_store_id=one.id)
    assert [each.file_id for each in openai.vector_stores.search(two.id, query=KEEPER)] == [sent.id]
    assert openai.vector_stores.files.create_and_poll(sent.id, vector_store_id=one.id).status == "completed"
    openai.files.delete(sent.id)
    for store in stores:
        assert list(openai.vector_stores.search(store.id, query=KEEPER)) == []
        openai.vector_stores.delete(store.id)


def test_a_collection_of_the_service_is_a_store_and_its_documents_are_files(openai: OpenAI, service: Harbour) -> None:
    (document,) = service.client.get("/v1/documents", named="harbour")["documents"]
    store = openai.vector_stores.retrieve("default")
    assert (store.id, store.name, store.file_counts.completed) == ("default", "default", 2)
    file = openai.vector_stores.files.retrieve(document["id"], vector_store_id="default")
    assert (file.id, file.status) == (document["id"], "completed")
    assert openai.files.retrieve(document["id"]).filename == "harbour.md"
    assert openai.files.content(document["id"]).read().startswith(b"# Harbour")
    assert openai.vector_stores.files.create(file_id=document["id"], vector_store_id="default").id == document["id"]
    other = openai.vector_stores.create(name="other")
    with pytest.raises(BadRequestError, match="cannot be added to another"):
        openai.vector_stores.files.create(file_id=document["id"], vector_store_id=other.id)
    renamed = openai.vector_stores.update(other.id, name="Another", metadata={"a": "b"})
    assert (renamed.id, renamed.name, renamed.metadata) == (other.id, "Another", {"a": "b"})
    assert service.client.get(f"/v1/collections/{other.id}")["title"] == "Another"
    names = [each.name for each in openai.vector_stores.list(limit=1)]
    assert names == ["Another", "default"]
    assert [each.name for each in openai.vector_stores.list(limit=1, order="asc")] == names[::-1]
    assert [each.name for each in openai.vector_stores.list(before="default").data] == ["Another"]
    openai.vector_stores.delete(other.id)


def test_the_asynchronous_client_does_all_of_it_too(service: Harbour) -> None:
    async def transcript() -> str:
        async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key=service.key) as client:
            store = await client.vector_stores.create(name="asynchronous")
            batch = await client.vector_stores.file_batches.upload_and_poll(store.id, files=[named("book.md", BOOK)])
            assert batch.file_counts.completed == 1
            file = await client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=named("log.md", LOG))
            assert file.status == "completed"
            page = await client.vector_stores.search(store.id, query=KEEPER)
            found = [each.filename async for each in page]
            assert found[0] == "book.md"
            tool: Any = {"type": "file_search", "vector_store_ids": [store.id]}
            made = await client.responses.create(model="leadline", input=KEEPER, tools=[tool])
            files = [each.id async for each in client.vector_stores.files.list(store.id)]
            await client.vector_stores.delete(store.id)
            for each in files:
                await client.files.delete(each)
            return made.output_text

    assert asyncio.run(transcript()) == ANSWER


def test_a_file_in_no_store_is_its_owners_alone_and_in_one_its_readers(openai: OpenAI, service: Harbour) -> None:
    post = service.client.post
    post("/v1/users", {"name": "eve"})
    post("/v1/users", {"name": "bob"})
    scopes = ["read", "write", "ask"]
    keys = {user: post("/v1/keys", {"name": user, "scopes": scopes, "user": user})["key"] for user in ("eve", "bob")}
    eve, bob = (OpenAI(base_url=f"{service.url}/v1", api_key=keys[user], max_retries=0) for user in ("eve", "bob"))
    sent = eve.files.create(file=named("book.md", BOOK), purpose="user_data")
    assert sent.id not in {each.id for each in bob.files.list()}
    for refused in (bob.files.retrieve, bob.files.content, bob.files.delete):
        with pytest.raises(NotFoundError):
            refused(sent.id)
    assert openai.files.retrieve(sent.id).id == sent.id  # an admin's key
    private = eve.vector_stores.create(name="hers")
    service.client.http.put(f"/v1/collections/{private.id}/grants/user:eve", json={"role": "admin"}).raise_for_status()
    eve.vector_stores.files.create_and_poll(sent.id, vector_store_id=private.id)
    for store in (private.id, "nobody's"):
        with pytest.raises(NotFoundError) as error:
            bob.vector_stores.search(store, query=KEEPER)
        assert error.value.code == "collection_not_found"
    with pytest.raises(NotFoundError):
        bob.files.retrieve(sent.id)
    shared = eve.vector_stores.create(name="everybody's", file_ids=[sent.id])
    wait_until(lambda: bob.vector_stores.retrieve(shared.id).status == "completed", what="it is searched")
    assert bob.files.retrieve(sent.id).filename == "book.md"
    with pytest.raises(APIStatusError, match="another user"):
        bob.files.delete(sent.id)
    eve.files.delete(sent.id)
    assert [eve.vector_stores.retrieve(each.id).file_counts.total for each in (private, shared)] == [0, 0]
    for each in (private, shared):
        eve.vector_stores.delete(each.id)


def test_files_count_on_quotas_and_give_back_what_they_took(openai: OpenAI, service: Harbour) -> None:
    def used() -> int:
        standings = service.client.get("/v1/quotas")["quotas"]
        return next(int(each["used"]) for each in standings if each["quota"] == "bytes")

    service.services.admission.meter.quotas.set_limits(Account(DEFAULT_TENANT), {Quota.BYTES: 10_000})
    before = used()
    sent = openai.files.create(file=named("book.md", BOOK), purpose="assistants")
    assert used() == before + len(BOOK)
    store = openai.vector_stores.create(file_ids=[sent.id])
    assert used() == before + 2 * len(BOOK)  # each lives by itself
    openai.vector_stores.delete(store.id)
    assert used() == before + len(BOOK)
    with pytest.raises(APIStatusError) as error:
        openai.files.create(file=named("big.md", b"lighthouse " * 1_000), purpose="assistants")
    assert error.value.code == "quota_exceeded"
    openai.files.delete(sent.id)
    assert used() == before


def test_an_attribute_of_the_name_is_the_priority_of_a_store_file_and_other_values_are_metadata_alone(
    openai: OpenAI, service: Harbour
) -> None:
    """A small file goes before books that were sent as bulk."""
    jobs, documents = service.services.jobs, []
    store = openai.vector_stores.create(name="Priorities")
    jobs.pause_kind(JobKind.INGEST)
    try:
        for number, priority in enumerate(("bulk", "high", "interactive", None)):
            sent = openai.files.create(file=named(f"{number}.md", b"Note %d." % number), purpose="assistants")
            given: Any = {} if priority is None else {"attributes": {"priority": priority}}
            made = openai.vector_stores.files.create(vector_store_id=store.id, file_id=sent.id, **given)
            assert made.attributes == given.get("attributes", {})
            assert made.model_extra is not None
            documents.append(made.model_extra["leadline"]["document_id"])
        shown = [service.client.get(f"/v1/documents/{each}") for each in documents]
    finally:
        jobs.resume_kind(JobKind.INGEST)
        service.services.work.doorbell.notify(JobKind.INGEST)
    assert [each["progress"]["queue_position"] for each in shown] == [3, 0, 1, 2]
