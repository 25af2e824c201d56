"""Documents that are moved to another collection, on each database the catalog may live in."""

from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Engine

from ingest.storage.accounts.grants import Grants
from ingest.storage.accounts.records import OPEN_ACCESS, CollectionAccess, Principal, Role
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit, AuditFilter
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.collection_records import CollectionSettings
from ingest.storage.documents.collections import Collections
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import Document, DocumentChange, Entry, IngestReport
from ingest.storage.errors import (
    CollectionNotEmptyError,
    CollectionNotFoundError,
    DocumentStateError,
    PreconditionFailedError,
    RoleMissingError,
)
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import JobKind
from tests.support.catalogs import accept, arrival, at_once, embedded, searchable

TO_LAW = DocumentChange(collection="law", changed=frozenset({"collection"}))


@pytest.fixture
def collections(engine: Engine, catalog: Catalog) -> Collections:
    made = Collections(engine)
    made.create("ann", "law", CollectionSettings())
    return made


def move(catalog: Catalog, document: Document, caller: Principal | None = None) -> Document:
    return catalog.change_document("ann", document.id, TO_LAW, None, caller=caller)


def listed(catalog: Catalog, collection: str, readers: frozenset[str] | None = None) -> list[str]:
    found = catalog.list_documents("ann", DocumentFilter(collection=collection), readers=readers)
    return [each.id for each in found]


def caller(access: CollectionAccess = OPEN_ACCESS) -> Principal:
    return Principal("ann", "k1", "somebody", "eve", frozenset(), collections=access)


def test_a_moved_document_is_in_its_new_collection_for_every_query(
    catalog: Catalog, jobs: Jobs, collections: Collections
) -> None:
    document = accept(catalog, "a").document
    searchable(jobs)
    before = catalog.load_corpus_version("ann")
    moved = move(catalog, document)
    assert (moved.id, moved.collection, moved.tag != document.tag) == (document.id, "law", True)
    assert (listed(catalog, "default"), listed(catalog, "law")) == ([], [document.id])
    assert catalog.find_visible_versions("ann", [document.version.id])[document.version.id].collection == "law"
    assert [each.document_id for each in catalog.list_active_documents("ann", collections=["law"])] == [document.id]
    assert collections.load_collection("ann", "law").documents == 1
    assert catalog.load_corpus_version("ann") > before
    assert catalog.list_unsynced_readers() == [document.id]
    with pytest.raises(PreconditionFailedError):
        catalog.change_document("ann", document.id, TO_LAW, {document.tag})


def test_the_access_rules_of_the_target_apply_in_the_commit_of_the_move(
    engine: Engine, catalog: Catalog, collections: Collections
) -> None:
    document = accept(catalog, "a").document
    Grants(engine).grant_role("ann", "law", "user:bob", Role.READER)
    move(catalog, document)
    assert listed(catalog, "law", frozenset({"user:eve"})) == []
    assert listed(catalog, "law", frozenset({"user:bob"})) == [document.id]


@pytest.mark.parametrize(
    ("access", "error"),
    [
        (CollectionAccess(read_only=frozenset({"law"})), RoleMissingError),
        (CollectionAccess(read_only=frozenset({"default"})), RoleMissingError),
        (CollectionAccess(denied=frozenset({"law"})), CollectionNotFoundError),
    ],
)
def test_only_who_may_write_in_both_collections_moves_a_document(
    catalog: Catalog, collections: Collections, access: CollectionAccess, error: type[Exception]
) -> None:
    document = accept(catalog, "a").document
    with pytest.raises(error):
        move(catalog, document, caller(access))
    assert listed(catalog, "default") == [document.id]
    assert move(catalog, document, caller()).collection == "law"


def test_nothing_is_moved_to_a_collection_that_does_not_exist(catalog: Catalog) -> None:
    document = accept(catalog, "a").document
    with pytest.raises(CollectionNotFoundError):
        move(catalog, document)
    assert listed(catalog, "default") == [document.id]


def test_the_same_bytes_can_be_uploaded_again_where_a_document_was_moved_from(
    catalog: Catalog, collections: Collections
) -> None:
    ids = set()
    for _ in range(3):
        document = accept(catalog, "a").document
        ids.add(document.id)
        move(catalog, document)
    again = catalog.accept_upload(replace(arrival("a"), collection="law"))
    assert (len(ids), again.created, again.document.id in ids) == (3, False, True)


def test_entries_move_with_their_container_and_not_without_it(
    catalog: Catalog, jobs: Jobs, collections: Collections
) -> None:
    container = accept(catalog, "zip").document
    (job,) = jobs.claim(JobKind.INGEST)
    inside = Entry("a.txt", "text/plain", "0" * 64, 3, "blob-a", "p1")
    jobs.finish_ingest([IngestReport(job, None, None, 1, 2, (), (inside,))])
    embedded(jobs)
    (entry,) = catalog.list_documents("ann", DocumentFilter(container=container.id))
    with pytest.raises(DocumentStateError, match=container.id):
        move(catalog, entry)
    move(catalog, container)
    assert set(listed(catalog, "law")) == {container.id, entry.id}
    assert set(catalog.list_unsynced_readers()) == {container.id, entry.id}
    assert move(catalog, entry).collection == "law"


def test_a_move_is_in_the_audit_log(engine: Engine, catalog: Catalog, collections: Collections) -> None:
    document = accept(catalog, "a").document
    move(catalog, document)
    (entry,) = Audit(engine).list_latest(AuditFilter(tenant_id="ann", action=Action.DOCUMENT_CHANGED))
    assert entry.details["collection"] == {"before": "default", "after": "law"}


def test_a_move_and_a_deletion_of_its_target_leave_no_document_without_a_collection(
    catalog: Catalog, collections: Collections
) -> None:
    def try_delete() -> None:
        with suppress(CollectionNotEmptyError):
            collections.delete("ann", "law", owner="user:ann", only_if_empty=True)

    def try_move(document: Document) -> None:
        with suppress(CollectionNotFoundError):
            move(catalog, document)

    for number in range(5):
        document = accept(catalog, f"file {number}").document
        at_once(partial(try_move, document), try_delete)
        known = {each.name for each in collections.list_collections("ann")}
        assert catalog.load_document("ann", document.id).collection in known
        if "law" in known:
            collections.delete("ann", "law", owner="user:ann")
        collections.create("ann", "law", CollectionSettings())


def test_a_collection_with_documents_is_not_deleted_if_only_an_empty_one_should_be(
    catalog: Catalog, collections: Collections
) -> None:
    document = catalog.accept_upload(replace(arrival(), readers=frozenset({"user:bob"}))).document
    move(catalog, document)
    with pytest.raises(CollectionNotEmptyError):
        collections.delete("ann", "law", owner="user:eve", readers=frozenset({"user:eve"}), only_if_empty=True)
    catalog.delete_document("ann", document.id)
    assert collections.delete("ann", "law", owner="user:ann", only_if_empty=True).documents == 0
