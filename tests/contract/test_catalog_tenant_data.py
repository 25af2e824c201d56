"""A tenant as a whole: exported into one file, and deleted with everything of it, whatever table that is in."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.answers.conversations import Conversations
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.answers.replies import Replies, StoredReply
from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.run_records import RunLogEntry, RunRequest
from ingest.storage.answers.runs import Runs
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit, AuditFilter
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.db.schema import metadata, tenants
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.cards.store import Cards
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.collection_records import CollectionSettings
from ingest.storage.documents.collections import Collections
from ingest.storage.documents.records import Work
from ingest.storage.errors import TenantNotFoundError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.tenant_data import TenantData, TenantRemoval, build_tenant_condition
from ingest.storage.queue.records import JobKind
from ingest.storage.uploads.files import FileRemoval, Files
from tests.support.catalogs import RemovedBlobs, accept, stored, wake

# Tables that belong to the installation; a new one is named here, or its rows are found by their tenant.
WHOLE = {
    "audit_chain",
    "blob_sealing",
    "generations",
    "index_copies",
    "index_states",
    "installation",
    "logout_tokens",
    "notices",
    "pauses",
    "tenants",
    "unknown_versions",
}


def filled(engine: Engine, tenant: str) -> str:
    """Everything that a tenant may have; returns the text of its key."""
    catalog, jobs = Catalog(engine), Jobs(engine)
    batch, _ = Batches(engine).create(tenant, name="a batch")
    document = accept(catalog, "a", tenant=tenant, batch_id=batch.id, blob=f"blob-of-{tenant}").document
    Cards(engine).change_card(tenant, document.id, {"kind": "a kind"})
    Files(engine).add(stored(f"file-{tenant}", tenant))
    Collections(engine).create(tenant, "gone", CollectionSettings("Gone"))
    Collections(engine).delete(tenant, "gone", owner="key:x")
    talk = Conversations(engine).start_conversation(tenant, "Why?")
    work = Work(f"answer of {tenant}", frozenset({document.version.id}))
    answer = StoredAnswer(work.id, tenant, talk, None, "Why?", {"text": "because"}, (), 1.0)
    Conversations(engine).store_answer(answer, work.versions)
    Replies(engine).store_replies(tenant, [StoredReply("key", "said", 1, 1, 1)], work)
    run, _ = Runs(engine).create(RunRequest(tenant, "How?"))
    (job,) = jobs.claim(JobKind.RUN)
    RunLog(engine).start_run(job)
    RunLog(engine).append_entries(
        job, [RunLogEntry("a", "call", {"text": "said"})], seconds=1.0, work=Work(run.id, work.versions)
    )
    return ApiKeys(engine).issue_key(tenant, "a key")[1]


def rows(engine: Engine, tenant: str) -> dict[str, int]:
    """How many rows each table has of a tenant."""
    found = {}
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            owned = build_tenant_condition(table, tenant)
            if owned is not None:
                found[table.name] = len(connection.execute(select(table).where(owned)).all())
    return {name: count for name, count in found.items() if count and name != "audit"}


def collect_all(engine: Engine) -> None:
    """What workers do."""
    wake(engine)
    jobs = Jobs(engine)
    for job in jobs.claim(JobKind.COLLECT, limit=50):
        jobs.finish_collect(job)


def test_every_table_is_known_to_be_a_tenants_or_the_installations() -> None:
    assert {table.name for table in metadata.sorted_tables if build_tenant_condition(table, "ann") is None} == WHOLE


def test_of_a_deleted_tenant_nothing_is_left_but_its_entries_in_the_audit_log(engine: Engine) -> None:
    theirs = filled(engine, "bob")
    before = rows(engine, "bob")
    key = filled(engine, "ann")
    assert {"documents", "card_edits", "run_events", "work_versions", "answers", "batch_entries"} <= set(
        rows(engine, "ann")
    )
    TenantData(engine).delete("ann")
    assert ApiKeys(engine).authenticate(key) is None
    removed = RemovedBlobs()
    removal = TenantRemoval(engine, FileRemoval(engine, removed.remove))
    assert (removal.list_pending_tenants(), removal.run_removal_step()) == (
        ["ann"],
        True,
    )  # its documents are deleted, and wait for workers
    assert removed.keys == ["blob-of-file-ann"]
    assert removal.run_removal_step()
    assert "documents" in rows(engine, "ann")
    collect_all(engine)
    assert not removal.run_removal_step()
    assert (rows(engine, "ann"), removal.list_pending_tenants(), removal.run_removal_step()) == ({}, [], False)
    with engine.connect() as connection:
        assert list(connection.execute(select(tenants.c.id)).scalars()) == ["bob"]
    assert rows(engine, "bob") == before
    assert ApiKeys(engine).authenticate(theirs) is not None
    audit = Audit(engine)
    assert [entry.action for entry in audit.list_latest(AuditFilter("ann"), limit=3)] == [
        "tenant.erased",
        "document.deleted",
        "tenant.deleted",
    ]
    assert audit.verify().faults == ()
    for use in (TenantData(engine).delete, TenantData(engine).require_tenant):
        with pytest.raises(TenantNotFoundError):
            use("ann")


def test_a_removal_that_was_interrupted_between_its_steps_goes_on(engine: Engine) -> None:
    filled(engine, "ann")
    TenantData(engine).delete("ann")
    TenantData(engine).delete("ann")
    removal = TenantRemoval(engine, FileRemoval(engine, len))
    removal.run_removal_step()
    accept(Catalog(engine), "late", tenant="ann")  # uploads that were under way when the key was revoked
    Files(engine).add(stored("file-late", "ann"))
    assert removal.run_removal_step()
    collect_all(engine)
    assert not removal.run_removal_step()
    assert rows(engine, "ann") == {}
    deleted = Audit(engine).list_latest(AuditFilter("ann", action=Action.TENANT_DELETED))
    assert len(deleted) == 1


def test_an_export_has_originals_and_rows_of_the_tenant_alone_without_secrets(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "blob-of-ann").write_bytes(b"the original")
    (tmp_path / "blob-of-file-ann").write_bytes(b"a file")
    other = "the other tenant"  # three letters stand in a random id now and then
    Catalog(engine).ensure_tenant(other)
    filled(engine, other)
    key = filled(engine, "ann")
    file = io.BytesIO()
    counts = TenantData(engine).export("ann", file, DirectoryBlobs(tmp_path).iter_blocks)
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        found = {
            name.removesuffix(".jsonl"): [json.loads(line) for line in archive.read(name).splitlines()]
            for name in archive.namelist()
            if name.endswith(".jsonl")
        }
        (version,) = found["versions"]
        assert archive.read(f"originals/{version['id']}") == b"the original"
        assert archive.read("originals/file-ann") == b"a file"
        whole = b"".join(map(archive.read, archive.namelist())).decode()
    assert (manifest["tenant"], manifest["counts"]) == ("ann", counts)
    assert [found[name][0]["id"] for name in ("documents", "answers")] == [version["document_id"], "answer of ann"]
    assert {entry["tenant_id"] for entry in found["audit"]} == {"ann"}
    assert [found[name][0]["tenant_id"] for name in ("files", "collections", "collection_deletions")] == ["ann"] * 3
    assert [row["fields"] for row in found["card_edits"]] == [{"kind": "a kind"}]
    assert "card_values" in found
    assert other not in whole
    assert key.split("_", 2)[2] not in whole
    assert "secret_sha256" not in whole
    assert Audit(engine).list_latest(AuditFilter("ann"), limit=1)[0].action == "tenant.exported"
    with pytest.raises(TenantNotFoundError):
        TenantData(engine).export("eve", io.BytesIO(), DirectoryBlobs(tmp_path).iter_blocks)
