"""The catalog's digests of texts and record tables, by version."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import Counter
from sqlalchemy import Connection, Engine, Select, and_, delete, exists, func, insert, or_, select

from ingest.storage.db.database import insert_row_if_absent, iter_slices, read_transaction, write_transaction
from ingest.storage.db.schema import content_digests, documents, jobs, versions
from ingest.storage.digests import BLOCK_BYTES, Digest, parse_file_name, parse_version_id
from ingest.storage.documents.records import SEARCHABLE_STATES, VersionState
from ingest.storage.queue.records import Job, JobKind

CONTENT_CHANGED = Counter(
    "leadline_content_changed", "Reads of stored content that did not match its digest.", ["kind"]
)
# Name of a version's text file. Every version that has digests has one for its text.
_TEXT_FILE = "text.txt"
_INGEST = jobs.c.kind == JobKind.INGEST

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class UndigestedVersion:
    """A version that has stored text but no digests, with the fencing token of its last ingest job."""

    version_id: str
    fence: int


class ContentDigests:
    """The digests of versions' files.

    A new version's digests are recorded in the commit that makes the version searchable.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # The counters start at zero, so that alerts see the first change as an increase.
        for kind in ("text", "tables"):
            CONTENT_CHANGED.labels(kind)

    def load_digests(self, version_ids: Collection[str]) -> Mapping[str, Mapping[str, Digest]]:
        """Return the digests of versions' files, keyed by version id and file name.

        Versions without digests are omitted.
        """
        with read_transaction(self._engine) as connection:
            return load_digests(connection, version_ids)

    def select_candidate_versions(self, file_name: str, version_ids: Collection[str]) -> set[str]:
        """Select the versions that might have a file with this name.

        These are the versions with a digest for it, and those with no digests at all.
        """
        digested, having = set[str](), set[str]()
        with read_transaction(self._engine) as connection:
            for some in iter_slices(list(version_ids)):
                query = _restrict_to_current_digests(
                    select(content_digests.c.version_id, content_digests.c.file)
                ).where(content_digests.c.version_id.in_(some), content_digests.c.file.in_((file_name, _TEXT_FILE)))
                for version, found in connection.execute(query):
                    (having if found == file_name else digested).add(version)
        return set(version_ids) - (digested - having)

    def record_changed_file(self, key: str) -> str | None:
        """Count and log a file that does not match its digest. Return the id of its document if it is known."""
        with read_transaction(self._engine) as connection:
            query = select(versions.c.document_id).where(versions.c.id == parse_version_id(key))
            document = connection.execute(query).scalar()
        CONTENT_CHANGED.labels(key.partition("/")[0]).inc()
        log.error("stored content does not match its digest", key=key, document=document)
        return document

    def add_missing_digests(self, version: UndigestedVersion, digests: Mapping[str, Digest]) -> bool:
        """Record digests, keyed by file key, for a version that was returned by `list_undigested_versions`.

        `list_undigested_versions` must be called before the files are read. If the version was ingested again since
        then, its files may have changed; nothing is recorded, and false is returned.
        """
        with write_transaction(self._engine) as connection:
            query = select(jobs.c.fence).where(_INGEST, jobs.c.version_id == version.version_id)
            # guard: digests-of-one-ingest
            if (connection.execute(query).scalar() or 0) != version.fence:
                return False
            outdated = content_digests.c.version_id == version.version_id, content_digests.c.fence != version.fence
            connection.execute(delete(content_digests).where(*outdated))
            for key, digest in digests.items():
                insert_row_if_absent(
                    connection, content_digests, **_build_row(version.version_id, version.fence, key, digest)
                )
            return True

    def list_undigested_versions(self, after: str, limit: int) -> list[UndigestedVersion]:
        """List versions that have stored text but no digests, sorted by id, starting after the id `after`."""
        query = _restrict_to_undigested_versions(select(versions.c.id, func.coalesce(jobs.c.fence, 0))).where(
            versions.c.id > after
        )
        with read_transaction(self._engine) as connection:
            return [UndigestedVersion(*row) for row in connection.execute(query.order_by(versions.c.id).limit(limit))]

    def count_undigested_versions(self) -> int:
        """Count the versions that have stored text but no digests."""
        with read_transaction(self._engine) as connection:
            return int(connection.execute(_restrict_to_undigested_versions(select(func.count()))).scalar_one())

    def delete_digests(self, version_id: str) -> None:
        """Delete the digests of a version. Call this before removing the version's files."""
        with write_transaction(self._engine) as connection:
            delete_digests(connection, version_id)

    def delete_orphaned_digests(self) -> int:
        """Delete the digests of versions that a process of the previous release removed. Return the number of rows."""
        gone = select(versions.c.id).where(versions.c.state == VersionState.DELETED)
        known = select(versions.c.id)
        stale = or_(content_digests.c.version_id.in_(gone), content_digests.c.version_id.not_in(known))
        with write_transaction(self._engine) as connection:
            return connection.execute(delete(content_digests).where(stale)).rowcount


def load_digests(connection: Connection, version_ids: Collection[str]) -> Mapping[str, Mapping[str, Digest]]:
    """Load the digests of versions' files, keyed by version id and file name. Versions without digests are omitted."""
    found: dict[str, dict[str, Digest]] = {}
    for some in iter_slices(list(version_ids)):
        query = _restrict_to_current_digests(select(content_digests)).where(content_digests.c.version_id.in_(some))
        for version, file, size, sha256, blocks, _ in connection.execute(query):
            # If a file has only one block, the digest of the block equals the digest of the file, so the digest is
            # stored only once.
            of_blocks = bytes(blocks) or (bytes(sha256) if size else b"")
            found.setdefault(version, {})[file] = Digest(size, bytes(sha256), of_blocks)
    return found


def record_digests(connection: Connection, job: Job, digests: Mapping[str, Digest]) -> None:
    """Replace the digests of a version with the digests of the files written by its ingest job, keyed by file key."""
    delete_digests(connection, job.version_id)
    if digests:
        rows = [_build_row(job.version_id, job.fence, key, each) for key, each in digests.items()]
        connection.execute(insert(content_digests), rows)


def select_digested_versions(connection: Connection, version_ids: Collection[str]) -> set[str]:
    """Select the versions that have digests, including outdated digests."""
    query = select(content_digests.c.version_id).distinct()
    found = [query.where(content_digests.c.version_id.in_(some)) for some in iter_slices(list(version_ids))]
    return {version for each in found for version in connection.execute(each).scalars()}


def delete_digests(connection: Connection, version_id: str) -> None:
    """Delete the digests of a version."""
    connection.execute(delete(content_digests).where(content_digests.c.version_id == version_id))


def _restrict_to_current_digests(query: Select[Any]) -> Select[Any]:
    """Restrict a query to current digests.

    While a version is being ingested again, its digests are still current. If the last ingest job ended with a fencing
    token other than the one stored with the digests, a process of the previous release has rewritten the files without
    updating the digests.
    """
    unchanged = or_(jobs.c.id.is_(None), jobs.c.state != "done", jobs.c.fence == content_digests.c.fence)
    job = and_(_INGEST, jobs.c.version_id == content_digests.c.version_id)
    return query.outerjoin(jobs, job).where(unchanged)


def _build_row(version_id: str, fence: int, key: str, digest: Digest) -> dict[str, object]:
    return {
        "version_id": version_id,
        "fence": fence,
        "file": parse_file_name(key),
        "size_bytes": digest.size,
        "sha256": digest.sha256,
        "blocks": digest.blocks if digest.size > BLOCK_BYTES else b"",
    }


def _restrict_to_undigested_versions(query: Select[Any]) -> Select[Any]:
    """Restrict a query of versions to those that have stored text but no digests."""
    has_text = versions.c.state.in_(SEARCHABLE_STATES) | (documents.c.active_version_id == versions.c.id)
    has_job = jobs.c.id.is_not(None)
    of_version = content_digests.c.version_id == versions.c.id
    has_digest = exists().where(of_version, or_(~has_job, content_digests.c.fence == jobs.c.fence))
    return (
        query.select_from(versions)
        .join(documents, documents.c.id == versions.c.document_id)
        .outerjoin(jobs, and_(_INGEST, jobs.c.version_id == versions.c.id))
        .where(documents.c.deleted_at.is_(None), has_text, or_(~has_job, jobs.c.state == "done"), ~has_digest)
    )
