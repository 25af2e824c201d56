"""Records which document versions answers and runs have used, to find content derived from removed versions.

Versions of documents of which a prompt only showed the names are recorded as seen, together with these names. A version
that was both seen and used counts as used.

A transaction that stores derived content takes the tenant's lock on derived content in shared mode; redaction takes it
exclusively. Therefore redaction finds all content stored earlier, and later transactions see that the version is gone.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, null, select, update

from ingest.storage.accounts.access import Readers, build_access_condition
from ingest.storage.db.database import build_upsert, iter_slices
from ingest.storage.db.schema import answers, documents, gone_versions, run_documents, runs, versions, work_versions
from ingest.storage.documents.records import VersionState, Work

_WORK_KEY = [work_versions.c.work_id, work_versions.c.version_id]
_IS_SEEN = work_versions.c.seen.is_not(null())


@dataclass(frozen=True)
class GoneVersions:
    """The versions of an answer or run that are gone. It is false if there are none.

    `used` maps versions to their documents, and `used_names` are the names of these documents, or None if one of them
    is not known any more. `seen` maps versions, of documents that no longer exist and of which only names were shown,
    to these names.
    """

    used: Mapping[str, str]
    seen: Mapping[str, frozenset[str]]
    used_names: frozenset[str] | None = frozenset()

    def __bool__(self) -> bool:
        return bool(self.used or self.seen)

    @property
    def names(self) -> frozenset[str]:
        return frozenset().union(*self.seen.values())


def list_names(title: str | None, name: str) -> frozenset[str]:
    """Return the names by which a text can refer to a document: its title, and its file name with and without suffix.

    A single character or a number is no name of its own without the suffix.
    """
    stem = PurePath(name).stem
    without_suffix = stem if len(stem) > 1 and not stem.isdigit() else ""
    return frozenset(filter(None, (title, name, without_suffix)))


def record_versions(connection: Connection, work: Work) -> bool:
    """Record the versions used or seen by an answer or run.

    Returns false if one of the versions is gone, in which case nothing derived from them may be stored. The caller's
    transaction must hold the tenant's lock on derived content; see `lock_derived_content`.
    """
    of_work = work_versions.c.work_id == work.id
    query = select(work_versions.c.version_id, work_versions.c.seen, work_versions.c.redacted).where(of_work)
    known = {row.version_id: row for row in connection.execute(query)}
    # guard: used-outranks-seen
    used = [each for each in work.versions if each not in known or known[each].seen is not None]
    _store_versions(connection, work.id, dict.fromkeys(used))
    noted = {version: frozenset(row.seen) for version, row in known.items() if row.seen and not row.redacted}
    fresh = {
        version: names
        for version, names in work.seen.items()
        if version not in known or (version in noted and not names <= noted[version])
    }
    _store_seen_versions(connection, work.id, fresh, noted)
    # guard: no-work-on-gone-versions
    return not list_gone_versions(connection, work)


def _store_versions(
    connection: Connection, work_id: str, names: Mapping[str, Collection[str] | None], *, is_redacted: bool = False
) -> None:
    """Store versions as seen, each with the names that were shown, or as used (None).

    A stored version stays used; one that is stored as seen becomes used or gets the new names.
    """
    rows = [
        {
            "work_id": work_id,
            "version_id": version,
            "redacted": is_redacted,
            "seen": None if shown is None else sorted(shown),
        }
        for version, shown in sorted(names.items())
    ]
    new = build_upsert(connection, work_versions)
    statement = new.on_conflict_do_update(index_elements=_WORK_KEY, set_={"seen": new.excluded.seen}, where=_IS_SEEN)
    for some in iter_slices(rows):
        connection.execute(statement, list(some))


def _store_seen_versions(
    connection: Connection,
    work_id: str,
    seen: Mapping[str, Iterable[str]],
    known: Mapping[str, frozenset[str]],
) -> None:
    """Store versions as seen. `known` are the names that are already stored.

    A version that was replaced is stored as the version that is active now, so that deleting the document finds it. Of
    a document that was deleted no name is stored.
    """
    current: dict[str, str | None] = {}
    for some in iter_slices(sorted(seen)):
        query = (
            select(versions.c.id, documents.c.active_version_id)
            .join(documents, documents.c.id == versions.c.document_id)
            .join(gone_versions, gone_versions.c.version_id == versions.c.id)
            .where(versions.c.id.in_(some))
        )
        current |= {row.id: row.active_version_id for row in connection.execute(query)}
    named: dict[str, frozenset[str]] = {}
    for version, names in seen.items():
        target = current.get(version, version)
        if target is not None:
            named[target] = named.get(target, known.get(target, frozenset())).union(names)
    _store_versions(connection, work_id, named)
    # guard: gone-names-not-stored
    gone = {version: frozenset[str]() for version, target in current.items() if target is None}
    _store_versions(connection, work_id, gone, is_redacted=True)


def list_gone_versions(connection: Connection, work: Work) -> GoneVersions:
    """List the versions that are gone but not yet redacted from an answer or run, and those of `work` that are gone."""
    query = (
        select(
            versions.c.id,
            versions.c.document_id,
            work_versions.c.redacted,
            work_versions.c.seen,
            documents.c.active_version_id,
        )
        .join(gone_versions, gone_versions.c.version_id == versions.c.id)
        .join(work_versions, work_versions.c.version_id == versions.c.id)
        .join(documents, documents.c.id == versions.c.document_id)
        .where(work_versions.c.work_id == work.id)
    )
    used: dict[str, str] = {}
    seen: dict[str, frozenset[str]] = {}
    for row in connection.execute(query):
        if row.redacted and row.id not in work.versions and row.id not in work.seen:
            continue
        if row.seen is None:
            used[row.id] = row.document_id
        elif row.active_version_id in (None, row.id):
            seen[row.id] = work.seen.get(row.id, frozenset()).union(row.seen)
    return GoneVersions(used, seen, load_document_names(connection, used))


def load_document_names(connection: Connection, version_ids: Collection[str]) -> frozenset[str] | None:
    """Load all names of the documents of these versions: titles, and file names with and without suffix.

    The names of a deleted document are known until its content was redacted. After that, returns None.
    """
    names: set[str] = set()
    for some in iter_slices(sorted(version_ids)):
        query = (
            select(
                documents.c.title,
                documents.c.name,
                documents.c.deleted_at,
                versions.c.title.label("version_title"),
                versions.c.name.label("version_name"),
                gone_versions.c.names,
            )
            .join(versions, versions.c.document_id == documents.c.id)
            .outerjoin(gone_versions, gone_versions.c.version_id == versions.c.id)
            .where(versions.c.id.in_(some))
        )
        for row in connection.execute(query):
            if row.deleted_at is not None:
                if row.names is None:
                    return None
                names.update(row.names)
            names.update(list_names(row.title, row.name), list_names(row.version_title, row.version_name))
    return frozenset(names)


def mark_versions_gone(
    connection: Connection, version_ids: Iterable[str], names: Mapping[str, Collection[str]] | None = None
) -> None:
    """Mark versions as gone. After the commit, nothing derived from them can be stored.

    `names` maps some of the versions to the names of their documents, which are kept until `erase_gone_names`.
    """
    known = names or {}
    rows: list[dict[str, Any]] = [
        {"version_id": version, "names": sorted(known[version]) if version in known else None}
        for version in sorted(version_ids)
    ]
    # A version that was replaced and redacted before its document was deleted gets no names.
    for some in iter_slices(rows):
        connection.execute(build_upsert(connection, gone_versions).on_conflict_do_nothing(), list(some))


def erase_gone_names(connection: Connection, version_id: str) -> None:
    """Erase the names of a deleted document once all content derived from this version has been redacted."""
    # guard: gone-names-erased
    connection.execute(update(gone_versions).where(gone_versions.c.version_id == version_id).values(names=null()))


def mark_version_redacted(connection: Connection, work_id: str, version_id: str) -> None:
    """Record that an answer or run has been redacted, and erase the names of the version's document."""
    of_work = work_versions.c.work_id == work_id, work_versions.c.version_id == version_id
    connection.execute(update(work_versions).where(*of_work).values(redacted=True))
    # guard: seen-names-erased
    connection.execute(update(work_versions).where(*of_work, _IS_SEEN).values(seen=[]))


def move_seen_version(connection: Connection, work_id: str, version_id: str) -> bool:
    """If a seen version was replaced, record its document's active version instead, and return true.

    Returns false if the version was used, or if its document no longer exists.
    """
    of_work = work_versions.c.work_id == work_id, work_versions.c.version_id == version_id
    active = select(documents.c.active_version_id).join(versions, versions.c.document_id == documents.c.id)
    target = connection.execute(active.where(versions.c.id == version_id)).scalar()
    names = connection.execute(select(work_versions.c.seen).where(*of_work)).scalar()
    if names is None or target in (None, version_id):
        return False
    connection.execute(delete(work_versions).where(*of_work))
    known = connection.execute(
        select(work_versions.c.seen).where(work_versions.c.work_id == work_id, work_versions.c.version_id == target)
    ).scalar()
    _store_versions(connection, work_id, {target: frozenset(names).union(known or ())})
    return True


def list_inaccessible_versions(
    connection: Connection, work_ids: Collection[str], readers: Readers
) -> dict[str, dict[str, str]]:
    """For each answer or run, return the versions that it used and that these readers may not see.

    Each of these versions is mapped to its document. Versions of deleted documents are included until they have been
    redacted. Answers and runs without such versions are omitted.
    """
    found: dict[str, dict[str, str]] = {}
    for some in iter_slices(sorted(work_ids)):
        hidden = documents.c.deleted_at.is_not(None) | ~build_access_condition(readers)
        for row in connection.execute(_build_works_query(some).where(~_IS_SEEN, hidden)):
            found.setdefault(row.work_id, {})[row.id] = row.document_id
    return found


def list_hidden_names(
    connection: Connection, work_ids: Collection[str], readers: Readers
) -> dict[str, dict[str, bool]]:
    """For each answer or run, return the names that it has seen of documents that these readers may not see.

    Each name is mapped to true if its document was deleted. Answers and runs without such names are omitted.
    """
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for some in iter_slices(sorted(work_ids)):
        hidden = documents.c.deleted_at.is_not(None) | ~build_access_condition(readers)
        for row in connection.execute(_build_works_query(some).where(_IS_SEEN, hidden)):
            found[row.work_id] |= dict.fromkeys(row.seen, row.deleted_at is not None)
    return dict(found)


def _build_works_query(work_ids: Collection[str]) -> Select[Any]:
    """Select the versions of answers and runs with their documents, except those that have been redacted."""
    return (
        select(
            work_versions.c.work_id,
            work_versions.c.seen,
            versions.c.id,
            versions.c.document_id,
            documents.c.deleted_at,
        )
        .join(versions, versions.c.id == work_versions.c.version_id)
        .join(documents, documents.c.id == versions.c.document_id)
        .where(work_versions.c.work_id.in_(work_ids), work_versions.c.redacted.is_(False))
    )


def load_conversation_work(connection: Connection, tenant_id: str, conversation_id: str) -> Work:
    """Return the versions that the answers of a conversation used or saw, except versions that no longer exist."""
    query = (
        select(work_versions.c.version_id, work_versions.c.seen)
        .join(answers, answers.c.id == work_versions.c.work_id)
        .where(
            answers.c.tenant_id == tenant_id,
            answers.c.conversation_id == conversation_id,
            work_versions.c.redacted.is_(False),
        )
    )
    seen: dict[str, frozenset[str]] = {}
    used: set[str] = set()
    for row in connection.execute(query):
        if row.seen is None:
            used.add(row.version_id)
        else:
            seen[row.version_id] = seen.get(row.version_id, frozenset()).union(row.seen)
    return Work(
        conversation_id, frozenset(used), {version: names for version, names in seen.items() if version not in used}
    )


def inherit_versions(connection: Connection, work_id: str, tenant_id: str, conversation_id: str) -> None:
    """Record that an answer or run uses or has seen the versions of the earlier answers of its conversation."""
    earlier = load_conversation_work(connection, tenant_id, conversation_id)
    _store_versions(connection, work_id, {**earlier.seen, **dict.fromkeys(earlier.versions)})


def build_version_in_use_condition() -> ColumnElement[bool]:
    """Build a condition that selects replaced versions that an unfinished run has pinned and still reads."""
    reading = (
        select(run_documents.c.run_id)
        .join(runs, runs.c.id == run_documents.c.run_id)
        .where(run_documents.c.version_id == versions.c.id, runs.c.ended_as.is_(None))
    )
    return (versions.c.state == VersionState.RETIRED) & reading.exists()
