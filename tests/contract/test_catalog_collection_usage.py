"""What was asked of each collection, on each database."""

from typing import Any

from sqlalchemy import Engine, insert

from ingest.storage.answers.usage import CollectionUsage, UsageByCollection
from ingest.storage.db.database import write_transaction
from ingest.storage.db.schema import answers, runs, work_versions
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Document
from tests.support.catalogs import arrive

RUN: dict[str, Any] = {
    "question": "Why?",
    "collections": [],
    "documents": [],
    "strategy": "direct",
    "limits": {},
    "events": 0,
    "calls": 1,
    "cached": 0,
    "seconds": 1.0,
}


def given(engine: Engine, work: str, *read: Document) -> None:
    with write_transaction(engine) as connection:
        rows = [{"work_id": work, "version_id": each.version.id, "redacted": False} for each in read]
        connection.execute(insert(work_versions), rows)


def answered(
    engine: Engine, identifier: str, owner: str, body: dict[str, Any], *read: Document, at: float = 5.0
) -> None:
    kept = {"id": identifier, "tenant_id": "ann", "owner": owner, "question": "Why?", "created_at": at}
    with write_transaction(engine) as connection:
        connection.execute(insert(answers).values(**kept, answer=body, rows_behind=[]))
    given(engine, identifier, *read)


def test_a_question_counts_once_in_each_collection_that_it_read_with_all_that_it_spent(
    engine: Engine, catalog: Catalog
) -> None:
    whale, plan, other = (arrive(catalog, name, collection=name) for name in ("whale", "plan", "other"))
    again = arrive(catalog, "whale 2", collection="whale")
    spent = {"usage": {"prompt_tokens": 100, "completion_tokens": 10}, "dollars": 0.5}
    answered(engine, "a1", "user:eve", spent, whale, again, plan)
    answered(engine, "a2", "user:bob", {"usage": {"prompt_tokens": 1, "completion_tokens": 1}, "dollars": None}, plan)
    answered(engine, "late", "user:eve", spent, other, at=50.0)
    run = {**RUN, "tenant_id": "ann", "owner": "user:eve", "prompt_tokens": 1000, "completion_tokens": 0}
    with write_transaction(engine) as connection:
        connection.execute(
            insert(runs).values(**run, id="r1", sequence=1, nanodollars=2_000_000_000, created_at=6.0, history=[])
        )
    answered(engine, "r1", "user:eve", spent, whale)

    def shown(owner: str | None, tenant: str = "ann") -> list[CollectionUsage]:
        return UsageByCollection(engine).sum_usage(tenant, owner=owner, start_time=0.0, end_time=50.0)

    assert shown(None) == [CollectionUsage("whale", 2, 1100, 10, 2.5), CollectionUsage("plan", 2, 101, 11, 0.5)]
    assert shown("user:bob") == [CollectionUsage("plan", 1, 1, 1, 0.0)]
    assert shown(None, "bob") == []
