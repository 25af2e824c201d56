"""Removes unused content from the index and blobs.

Content that the catalog does not explain is quarantined first. Unused content is rare and has two causes. A worker that
lost its lease can write once more after its document was deleted, and die before it undoes the write. An API process
that dies between storing bytes and recording them leaves a file behind. Content that the catalog has never known may
also belong to a newer catalog, so it is retained for days. If there is a lot of unknown content, nothing is changed.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from ingest.storage.blobs.quarantine import Quarantine, UpkeepLimits
from ingest.storage.blobs.store import BlobStore
from ingest.storage.digests import parse_version_id
from ingest.storage.errors import InstallationMismatchError
from ingest.storage.operations.installation import require_same_installation
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.operations.leftovers import UnusedContent
from ingest.storage.tables.store import RecordTables
from ingest.storage.texts.texts import Texts
from retrieval.index.generations import Generations
from retrieval.index.port import Index

# Minimum age of abandoned uploads. An upload may take a long time, but an unfinished upload older than this was
# abandoned.
FORGOTTEN_SECONDS = 24 * 3600.0
NOTICE_NAME = "upkeep"
# Number of unknown files or versions that are never considered too many, whatever their fraction.
_ALWAYS_ALLOWED = 10
_DERIVED_KINDS = ("text", "tables")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CleanupResult:
    """Counts from one cleanup round: removed chunks and files, and quarantined and restored files.

    If the round was stopped before it quarantined or removed anything, `stopped` is the reason; otherwise it is empty.
    """

    orphan_chunks: int = 0
    files: int = 0
    put_aside: int = 0
    put_back: int = 0
    stopped: str = ""


@dataclass(frozen=True)
class _ContentCounts:
    """Counts of one kind of content: the total in use, the unknown part, and the quarantined part."""

    name: str
    total: int
    unknown: int
    aside: int

    def has_too_many_unknown(self, max_share: float) -> bool:
        # guard: upkeep-counts-quarantine
        strange = self.unknown + self.aside
        # guard: upkeep-large-share
        return self.unknown > 0 and strange > _ALWAYS_ALLOWED and strange > max_share * (self.total + self.aside)

    @property
    def description(self) -> str:
        return f"{self.unknown + self.aside:,} of {self.total + self.aside:,} {self.name}"


class UnusedContentCleaner:
    """Removes unused content, one round at a time. Two processes may run rounds concurrently."""

    def __init__(
        self,
        record: InstallationRecord,
        leftovers: UnusedContent,
        generations: Generations,
        blobs: BlobStore,
        texts: Texts,
        limits: UpkeepLimits,
        *,
        min_age_seconds: float = FORGOTTEN_SECONDS,
    ) -> None:
        self._record = record
        self._leftovers = leftovers
        self._generations = generations
        self._blobs = blobs
        self._texts = texts
        self._tables = RecordTables(blobs)
        self._quarantine = Quarantine(blobs)
        self._limits = limits
        self._forgotten_seconds = min_age_seconds

    def clean_up(self) -> CleanupResult:
        """Restore files that are known again, quarantine unknown files, and remove explained and expired content.

        If a round finds components of different installations or too much unknown content, it changes nothing and
        records a notice. Raises `IndexUnavailableError` if the index does not respond.
        """
        try:
            with self._generations.use_all_indexes() as indexes:
                # guard: upkeep-one-installation
                identifier = require_same_installation(self._record, self._blobs)
                # guard: upkeep-own-index
                self._generations.require_owner(identifier)
                done = self._run_round(indexes)
        except InstallationMismatchError as error:
            done = CleanupResult(stopped=str(error))
        if done.stopped:
            log.error("clean-up stopped", reason=done.stopped)
            self._record.record_notice(NOTICE_NAME, done.stopped)
            return done
        self._generations.remove_discarded_indexes()
        self._record.withdraw_notice(NOTICE_NAME)
        if done != CleanupResult():
            log.warning("unused content cleaned up", **{name: n for name, n in vars(done).items() if n})
        return done

    @property
    def is_due(self) -> bool:
        """True if a round has work to do or a problem to report.

        This is the case if files are in quarantine, or if the last round was stopped.
        """
        return bool(self._quarantine.load_quarantine_dates()) or NOTICE_NAME in self._record.load_notices()

    def restore_claimed_files(self) -> int:
        """Restore quarantined files that the catalog names, and return their number."""
        aside = self._quarantine.load_quarantine_dates()
        return self._quarantine.restore_files(set(aside) - self._select_unknown_keys(aside)) if aside else 0

    def _run_round(self, indexes: Mapping[int, Index]) -> CleanupResult:
        # guard: quarantine-returns
        put_back = self.restore_claimed_files()
        present = {version for index in indexes.values() for version in index.count_chunks_by_version()}
        keys = {kind: set(self._blobs.iter_keys(kind)) for kind in ("original", *_DERIVED_KINDS)}
        derived = keys["text"] | keys["tables"]
        strangers = self._leftovers.select_unknown_versions(present)
        lasting = self._select_expired_versions(strangers)
        unknown = {name: self._select_old_keys(self._select_unknown_keys(some)) for name, some in keys.items()}
        aside = self._count_quarantined_files()
        stopped = self._describe_excessive_counts(
            _ContentCounts("originals", len(keys["original"]), len(unknown["original"]), aside["original"]),
            _ContentCounts(
                "texts", len(derived), len(unknown["text"] | unknown["tables"]), aside["text"] + aside["tables"]
            ),
            _ContentCounts("versions in the index", len(present), len(strangers - lasting), 0),
        )
        if stopped:
            return CleanupResult(put_back=put_back, stopped=stopped)
        chunks = self._remove_abandoned_versions(indexes, present, derived)
        self._leftovers.record_unknown_versions(strangers - lasting)
        chunks += _remove_versions(indexes, lasting)
        # guard: unknown-files-quarantined
        put_aside = self._quarantine.quarantine_files(set().union(*unknown.values()))
        files = self._quarantine.delete_expired_files(min_age_days=self._limits.quarantine_days)
        files += self._blobs.discard_unfinished_uploads(min_age_seconds=self._forgotten_seconds)
        return CleanupResult(chunks, files, put_aside, put_back)

    def _select_unknown_keys(self, keys: Collection[str]) -> set[str]:
        """Select the keys of originals without a version, and the keys of texts and tables of unknown versions."""
        originals = {key for key in keys if key.startswith("original/")}
        versions = {key: parse_version_id(key) for key in keys if key not in originals}
        strangers = self._leftovers.select_unknown_versions(set(versions.values()))
        unknown = {key for key, version in versions.items() if version in strangers}
        return unknown | self._leftovers.select_unknown_originals(originals)

    def _select_old_keys(self, keys: Collection[str]) -> set[str]:
        return {key for key in keys if self._blobs.get_age_seconds(key) >= self._forgotten_seconds}

    def _count_quarantined_files(self) -> Mapping[str, int]:
        """Count the files that stay in quarantine after this round, by the first part of their keys."""
        first = (datetime.now(UTC) - timedelta(days=self._limits.quarantine_days)).date()
        kinds = [key.partition("/")[0] for key, day in self._quarantine.load_quarantine_dates().items() if day >= first]
        return {kind: kinds.count(kind) for kind in ("original", *_DERIVED_KINDS)}

    def _select_expired_versions(self, version_ids: Collection[str]) -> set[str]:
        """Select the unknown versions that were first seen longer ago than the quarantine period."""
        seen, last = self._leftovers.load_first_seen_times(), time.time() - 86_400 * self._limits.quarantine_days
        # guard: unknown-chunks-wait
        return {version for version in version_ids if seen.get(version, last) < last}

    def _describe_excessive_counts(self, *content_counts: _ContentCounts) -> str:
        """Describe the kinds of content with too large an unknown fraction.

        Returns an empty string if there are none.
        """
        found = [kind for kind in content_counts if kind.has_too_many_unknown(self._limits.share)]
        if not found:
            return ""
        counts = ", ".join(kind.description for kind in found)
        return (
            f"Unknown to the catalog: {counts}. This is more than {self._limits.share:.0%}, so nothing is quarantined "
            "or removed. If this is an older catalog, restore the newer one. If the content is really unused, start "
            "the service once with LEADLINE_UPKEEP_SHARE=1."
        )

    def _remove_abandoned_versions(
        self, indexes: Mapping[int, Index], version_ids: Collection[str], derived_keys: Collection[str]
    ) -> int:
        given_up = self._leftovers.select_abandoned_versions({*version_ids, *map(parse_version_id, derived_keys)})
        chunks = _remove_versions(indexes, given_up.intersection(version_ids))
        for version in given_up:
            self._texts.delete(version)
            self._tables.delete(version)
        return chunks


def _remove_versions(indexes: Mapping[int, Index], version_ids: Collection[str]) -> int:
    """Remove the chunks of versions from all generations, and return the number of chunks."""
    return sum(
        index.delete_version(tenant, version)
        for version in version_ids
        for index in indexes.values()
        for tenant in index.list_version_tenants(version)
    )
