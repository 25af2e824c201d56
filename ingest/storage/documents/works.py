"""Records which document versions answers and runs have used, to find content derived from removed versions.

A transaction that stores derived content takes the tenant's lock on derived content in shared mode; redaction takes it
exclusively. Therefore redaction finds all content stored earlier, and later transactions see that the version is gone.
"""

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, insert, literal, select

from ingest.storage.accounts.access import Readers, build_access_condition
from ingest.storage.db.database import build_upsert, iter_slices
from ingest.storage.db.schema import answers, documents, gone_versions, run_documents, runs, versions, work_versions
from ingest.storage.documents.records import VersionState, Work


def record_versions(connection: Connection, work: Work) -> bool:
    """Record the versions used by an answer or run.

    Returns false if one of the versions is gone, in which case nothing derived from them may be stored. The caller's
    transaction must hold the tenant's lock on derived content; see `lock_derived_content`.
    """
    known = set(
        connection.execute(select(work_versions.c.version_id).where(work_versions.c.work_id == work.id)).scalars()
    )
    rows = [{"work_id": work.id, "version_id": version, "redacted": False} for version in sorted(work.versions - known)]
    for some in iter_slices(rows):
        connection.execute(build_upsert(connection, work_versions).on_conflict_do_nothing(), list(some))
    # guard: no-work-on-gone-versions
    return not list_gone_versions(connection, work.id)


def list_gone_versions(connection: Connection, work_id: str) -> dict[str, str]:
    """Return the versions that are gone but not yet redacted from an answer or run.

    The result maps each version to its document.
    """
    query = (
        select(versions.c.id, versions.c.document_id)
        .join(gone_versions, gone_versions.c.version_id == versions.c.id)
        .join(work_versions, work_versions.c.version_id == versions.c.id)
        .where(work_versions.c.work_id == work_id, work_versions.c.redacted.is_(False))
    )
    return {row.id: row.document_id for row in connection.execute(query)}


def mark_versions_gone(connection: Connection, version_ids: list[str]) -> None:
    """Mark versions as gone. After the commit, nothing derived from them can be stored."""
    rows = [{"version_id": version} for version in sorted(version_ids)]
    for some in iter_slices(rows):
        connection.execute(build_upsert(connection, gone_versions).on_conflict_do_nothing(), list(some))


def list_inaccessible_versions(
    connection: Connection, work_ids: Collection[str], readers: Readers
) -> dict[str, dict[str, str]]:
    """For each answer or run, return the versions that it used and that these readers may not see.

    Each of these versions is mapped to its document. Answers and runs without such versions are omitted.
    """
    found: dict[str, dict[str, str]] = {}
    for some in iter_slices(sorted(work_ids)) if readers is not None else ():
        query = (
            select(work_versions.c.work_id, versions.c.id, versions.c.document_id)
            .join(versions, versions.c.id == work_versions.c.version_id)
            .join(documents, documents.c.id == versions.c.document_id)
            .where(
                work_versions.c.work_id.in_(some), work_versions.c.redacted.is_(False), ~build_access_condition(readers)
            )
        )
        for row in connection.execute(query):
            found.setdefault(row.work_id, {})[row.id] = row.document_id
    return found


def inherit_versions(connection: Connection, work_id: str, conversation_id: str) -> None:
    """Record that an answer or run uses the versions used by the earlier answers of its conversation."""
    earlier = (
        select(literal(work_id), work_versions.c.version_id, work_versions.c.redacted)
        .join(answers, answers.c.id == work_versions.c.work_id)
        .where(answers.c.conversation_id == conversation_id, work_versions.c.redacted.is_(False))
        .distinct()
    )
    names = ["work_id", "version_id", "redacted"]
    connection.execute(insert(work_versions).from_select(names, earlier))


def build_version_in_use_condition() -> ColumnElement[bool]:
    """Build a condition that selects replaced versions that an unfinished run has pinned and still reads."""
    reading = (
        select(run_documents.c.run_id)
        .join(runs, runs.c.id == run_documents.c.run_id)
        .where(run_documents.c.version_id == versions.c.id, runs.c.ended_as.is_(None))
    )
    return (versions.c.state == VersionState.RETIRED) & reading.exists()
