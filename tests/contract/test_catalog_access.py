"""Who may see a document, what changes of it do, and filters on metadata, on each database the catalog may live in."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.documents.records import Document, DocumentChange, VersionState
from ingest.storage.errors import DocumentNotFoundError, MetadataError, NotUploaderError, PreconditionFailedError
from ingest.storage.jobs.jobs import Jobs
from tests.support.catalogs import arrival, arrive, searchable
from tests.support.metadata_model import matches

EVE, BOB, NOBODY = frozenset({"user:eve", "group:hr"}), frozenset({"user:bob"}), frozenset[str]()


def upload(catalog: Catalog, content: str = "a", **members: Any) -> Document:  # noqa: ANN401 - of `Arrival`
    return catalog.accept_upload(replace(arrival(content), **members)).document


def change(
    catalog: Catalog,
    document: Document,
    *,
    readers: frozenset[str] | None = None,
    **members: Any,  # noqa: ANN401
) -> Document:
    """Change what is named, as somebody with `readers`, whatever the document's state."""
    metadata = members.pop("metadata", {})
    given = {name: value for name, value in members.items()}
    return catalog.change_document(
        "ann",
        document.id,
        DocumentChange(metadata, given.get("title"), given.get("closed_to"), _changed(given)),
        None,
        caller=None if readers is None else reading_as(readers),
    )


def reading_as(readers: frozenset[str]) -> Principal:
    """A user, or a key of none, with these subjects."""
    names = {kind: frozenset(s.split(":")[1] for s in readers if s.startswith(kind)) for kind in ("user", "group")}
    return Principal("ann", "k1", "somebody", next(iter(names["user"]), None), names["group"])


def _changed(given: Mapping[str, Any]) -> frozenset[str]:
    return frozenset({"title": "title", "closed_to": "readers"}[name] for name in given)


def test_a_closed_document_does_not_exist_for_others(catalog: Catalog, jobs: Jobs) -> None:
    opened, closed = upload(catalog), upload(catalog, "b", readers=frozenset({"group:hr"}))
    searchable(jobs)
    searchable(jobs)
    for readers, seen in ((EVE, [opened.id, closed.id]), (BOB, [opened.id]), (NOBODY, [opened.id])):
        assert [each.id for each in catalog.list_documents("ann", readers=readers)] == seen
        assert [each.document_id for each in catalog.list_active_documents("ann", readers=readers)] == seen
        assert sum(total.documents for total in catalog.compute_state_totals("ann", readers=readers).values()) == len(
            seen
        )
    shown = catalog.find_visible_versions("ann", [opened.version.id, closed.version.id])
    assert [shown[each.version.id].is_visible_to(BOB) for each in (opened, closed)] == [True, False]
    assert catalog.load_document("ann", closed.id, readers=EVE).readers == frozenset({"group:hr"})
    for forbidden in (
        lambda: catalog.load_document("ann", closed.id, readers=BOB),
        lambda: catalog.cancel_latest_version("ann", closed.id, readers=BOB),
        lambda: catalog.delete_document("ann", closed.id, readers=BOB),
        lambda: change(catalog, closed, readers=BOB, title="mine"),
        lambda: catalog.replace_document(replace(arrival("c"), sender=BOB), closed.id, None),
    ):
        with pytest.raises(DocumentNotFoundError):
            forbidden()
    catalog.delete_document("ann", closed.id, readers=EVE)
    assert catalog.load_deletion("ann", closed.id, readers=EVE).document_id == closed.id
    with pytest.raises(DocumentNotFoundError):
        catalog.load_deletion("ann", closed.id, readers=BOB)
    with pytest.raises(DocumentNotFoundError):
        catalog.delete_document("ann", closed.id, readers=BOB)


def test_the_same_bytes_sent_by_who_may_not_see_the_document_make_another(catalog: Catalog) -> None:
    closed = upload(catalog, readers=EVE, sender=EVE)
    other = catalog.accept_upload(replace(arrival(), sender=BOB))
    assert other.created
    assert other.document.id != closed.id
    assert not catalog.accept_upload(replace(arrival(), sender=EVE)).created


def test_the_same_bytes_with_other_metadata_keep_what_is_there_and_say_so(catalog: Catalog) -> None:
    first = upload(catalog, attributes={"year": 1815}, readers=EVE)
    again = catalog.accept_upload(replace(arrival(), attributes={"year": 1816}, readers=frozenset({"user:eve"})))
    assert (again.document, again.created, again.kept) == (first, False, ("metadata", "readers"))
    assert catalog.accept_upload(replace(arrival(), attributes={"year": 1815})).kept == ()


def test_a_change_is_seen_by_every_query_and_changes_tag_and_corpus(catalog: Catalog, jobs: Jobs) -> None:
    document = upload(catalog, attributes={"year": 1815, "draft": True})
    searchable(jobs)
    before = catalog.load_corpus_version("ann")
    changed = change(catalog, document, metadata={"draft": None, "author": "Calloway"}, title="Brine")
    assert (changed.attributes, changed.title, changed.revision) == ({"year": 1815, "author": "Calloway"}, "Brine", 1)
    assert changed.tag != document.tag
    assert catalog.load_corpus_version("ann") > before
    assert catalog.list_matching_documents("ann", parse_conditions({"author": "Calloway", "draft": {"not": True}})) == [
        document.id
    ]
    assert catalog.list_matching_documents("ann", parse_conditions({"draft": True})) == []
    either = {"$any": [{"draft": True}, {"author": ["Shelley", "Calloway"], "year": {"lt": 1900}}]}
    neither = {"$any": [{"draft": True}, {"$all": [{"author": "Calloway"}, {"draft": True}]}]}
    for among in ((), (document.id,)):
        assert catalog.list_matching_documents("ann", parse_conditions(either), document_ids=among) == [document.id]
        assert catalog.list_matching_documents("ann", parse_conditions(neither), document_ids=among) == []
    with pytest.raises(PreconditionFailedError):
        catalog.change_document("ann", document.id, DocumentChange({"a": 1}), {document.tag})
    catalog.change_document("ann", document.id, DocumentChange({"a": 1}), {changed.tag})
    assert catalog.list_unsynced_readers() == []


def test_a_given_title_outlives_new_content_and_can_be_given_back(catalog: Catalog, jobs: Jobs) -> None:
    document = upload(catalog)
    assert change(catalog, document, title="Mine").title == "Mine"
    searchable(jobs)
    assert catalog.load_document("ann", document.id).title == "Mine"
    assert catalog.find_visible_versions("ann", [document.version.id])[document.version.id].title == "Mine"
    assert change(catalog, document, title=None).title == "Title"


def test_readers_are_unsettled_until_the_index_has_those_of_the_last_change(catalog: Catalog) -> None:
    document = upload(catalog)
    first = change(catalog, document, closed_to=EVE)
    second = change(catalog, document, closed_to=BOB)
    assert catalog.list_unsynced_readers() == [document.id]
    assert not catalog.record_readers_synced(document.id, first.revision)
    assert catalog.list_unsynced_readers() == [document.id]
    assert catalog.record_readers_synced(document.id, second.revision)
    change(catalog, document, metadata={"a": 1})
    assert catalog.list_unsynced_readers() == []
    catalog.mark_readers_unsynced()
    assert catalog.list_unsynced_readers() == [document.id]


def test_of_a_document_without_an_uploader_only_admins_change_the_readers(catalog: Catalog) -> None:
    document = upload(catalog)  # as releases did that recorded none
    with pytest.raises(NotUploaderError, match="before uploaders were recorded"):
        change(catalog, document, readers=BOB, closed_to=BOB)
    with pytest.raises(NotUploaderError):
        change(catalog, document, readers=NOBODY, closed_to=BOB)
    assert change(catalog, document, readers=BOB, title="Mine").title == "Mine"
    admin = replace(reading_as(BOB), scopes=frozenset({Scope.ADMIN}))
    closing = DocumentChange(readers=BOB, changed=frozenset({"readers"}))
    assert catalog.change_document("ann", document.id, closing, None, caller=admin).readers == BOB


def test_nobody_but_an_admin_closes_a_document_to_themselves(catalog: Catalog) -> None:
    document = upload(catalog, uploaded_by="user:bob")
    with pytest.raises(MetadataError, match="You would lose access"):
        change(catalog, document, readers=BOB, closed_to=EVE)
    assert change(catalog, document, closed_to=NOBODY).readers == NOBODY
    assert catalog.list_documents("ann", readers=EVE) == []
    assert change(catalog, document, closed_to=None).readers is None


def test_metadata_cannot_grow_without_end_by_changes(catalog: Catalog) -> None:
    document = upload(catalog, attributes={"first": list(range(900))})
    with pytest.raises(MetadataError, match="1,001 values"):
        change(catalog, document, metadata={"second": list(range(101))})


VALUES = st.sampled_from(["a", "b", "1815", "1815-12-23", "1815-12-23T01:00:00+02:00", 0, 1, 1.0, 2.5, -3, True, False])
ATTRIBUTES = st.dictionaries(st.sampled_from("xyz"), VALUES | st.lists(VALUES, max_size=3), max_size=3)
BOUNDS = st.sampled_from([0, 1, 2.5, "1815-12-23", "1815-12-24T00:00:00Z"])
ONE_OR_MORE = VALUES | st.lists(VALUES, min_size=1, max_size=3)
FILTERS = st.dictionaries(
    st.sampled_from("xyz"),
    ONE_OR_MORE
    | st.dictionaries(st.sampled_from(["in", "not"]), ONE_OR_MORE, min_size=1)
    | st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), BOUNDS, min_size=1, max_size=2),
    min_size=1,
    max_size=3,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(ATTRIBUTES, min_size=1, max_size=4), st.lists(FILTERS, min_size=1, max_size=6))
def test_sql_finds_what_plain_python_finds(
    catalog: Catalog, jobs: Jobs, some: list[dict[str, Any]], filters: list[dict[str, Any]]
) -> None:
    documents = [arrive(catalog, f"t{number}") for number in range(len(some))]
    for document in documents:
        if document.version.state is VersionState.ACCEPTED:
            searchable(jobs)
    for document, attributes in zip(documents, some, strict=True):
        known = catalog.load_document("ann", document.id).attributes
        change(catalog, document, metadata={**dict.fromkeys(known), **attributes})
    ids = [document.id for document in documents]
    for wanted in filters:
        expected = {i for i, attributes in zip(ids, some, strict=True) if matches(attributes, wanted)}
        assert set(catalog.list_matching_documents("ann", parse_conditions(wanted), document_ids=ids)) == expected
        assert set(catalog.list_matching_documents("ann", parse_conditions(wanted))) & set(ids) == expected
        assert {
            each.document_id for each in catalog.list_active_documents("ann", conditions=parse_conditions(wanted))
        } & set(ids) == expected


def test_deleted_metadata_matches_nothing(catalog: Catalog, engine: Engine, jobs: Jobs) -> None:
    document = upload(catalog, attributes={"year": 1815})
    searchable(jobs)
    catalog.delete_document("ann", document.id)
    assert catalog.list_matching_documents("ann", parse_conditions({"year": 1815})) == []
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM document_attributes").scalar() == 0
