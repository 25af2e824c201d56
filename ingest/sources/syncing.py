"""Synchronizes a source: adds and changes the documents of its items, and removes those of items that are gone.

A round lists the whole source, or its changes. Each item is recorded right after it was accepted, so a round that was
interrupted continues without reading it again. Documents are removed only after a list that ended without an error,
and an unusually large removal waits until somebody approves it.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog

from ingest.intake import TEMPORARY_ERRORS, Intake, Replacement, UploadRequest, clean_display_name
from ingest.sources.errors import ItemGoneError, ItemRefusedError, ItemUnavailableError, ItemUnchangedError
from ingest.sources.port import OpenedItem, Source, SourceItem
from ingest.storage.documents.catalog import AcceptedUpload, Catalog
from ingest.storage.documents.metadata import validate_readers
from ingest.storage.documents.records import SOURCE_OWNER_PREFIX, DocumentChange
from ingest.storage.errors import (
    BacklogFullError,
    DocumentNotFoundError,
    InputError,
    LeadlineError,
    LeaseLostError,
    MetadataError,
    StorageFullError,
    StorageReadOnlyError,
    UploadError,
)
from ingest.storage.inbound import check_text
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.queue.records import Failure, Job, JobPriority
from ingest.storage.sources.backing import build_attributes, build_sender
from ingest.storage.sources.records import FoundItem, SourceItemRecord
from ingest.storage.sources.rounds import RemovalPlan, Round, SyncRounds

# Items that are compared with the catalog at once. Memory does not grow with the source.
_BATCH_ITEMS = 200
# The documents of a slow list, such as a web site's, and the progress of the round appear after this time.
_BATCH_SECONDS = 5.0
# Documents whose removal never needs an approval, whatever their fraction.
_ALWAYS_ALLOWED = 10
# Pause before the next look when documents must wait for capacity.
_WAIT_SECONDS = 2.0
_CAPACITY_ERRORS = (BacklogFullError, StorageFullError, StorageReadOnlyError)
_REFUSALS = (ItemRefusedError, UploadError, InputError, MetadataError, DocumentNotFoundError)

Each = TypeVar("Each")

log = structlog.get_logger(__name__)


class SyncInterruptedError(Exception):
    """The round was interrupted, because its process is ending or its job was withdrawn."""


@dataclass(frozen=True)
class RoundControl:
    """Tells a round whether to end, and pauses it."""

    is_interrupted: Callable[[], bool]
    wait: Callable[[float], object]

    def check(self) -> None:
        """Raise `SyncInterruptedError` if the round must end."""
        if self.is_interrupted():
            raise SyncInterruptedError


class SourceSynchronizer:
    """Runs rounds. `open_source` opens the adapter of a round's source, and raises the errors of sources.

    `max_share` is the fraction of a source's documents that a round may remove without an approval. `settle_readers`
    writes changed readers to the index.
    """

    def __init__(
        self,
        rounds: SyncRounds,
        catalog: Catalog,
        intake: Intake,
        open_source: Callable[[Round], AbstractContextManager[Source]],
        *,
        max_share: float,
        settle_readers: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rounds = rounds
        self._catalog = catalog
        self._intake = intake
        self._open_source = open_source
        self._max_share = max_share
        self._settle_readers = settle_readers
        self._clock = clock

    def run(self, job: Job, control: RoundControl) -> None:
        """Run the round of a claimed job, or continue it.

        Raises `SyncInterruptedError`, `LeaseLostError`, the errors of sources, and those of the stores.
        """
        sync = self._rounds.start_round(job)
        reach_fault_point("sync.begun")
        if sync.is_deleted:
            while self._rounds.purge_source(job, sync):
                control.check()
            return
        if not sync.is_listed:
            with self._open_source(sync) as source:
                sync = self._list_source(job, sync, source, control)
        reach_fault_point("sync.listed")
        # guard: unrecorded-documents-removed
        while self._rounds.remove_unrecorded_documents(job, sync):
            control.check()
        # Upkeep does this a few times a minute only. People find what they may now see as soon as the sync has ended.
        self._settle_readers()
        plan = self._rounds.plan_removals(sync)
        # guard: source-mass-removal
        if self._needs_approval(plan, sync):
            log.warning("sync waits for approval", source=sync.source_id, removals=plan.removed, known=plan.known)
            self._rounds.finish_round(job, sync, pending_removals=plan.removed)
            return
        while self._rounds.remove_next_items(job, sync):
            reach_fault_point("sync.removed")
            control.check()
        self._rounds.finish_round(job, sync)
        reach_fault_point("sync.ended")

    def _needs_approval(self, plan: RemovalPlan, sync: Round) -> bool:
        is_large = plan.removed > _ALWAYS_ALLOWED and plan.removed > self._max_share * plan.known
        return is_large and plan.removed > sync.approved_removals

    def _list_source(self, job: Job, sync: Round, source: Source, control: RoundControl) -> Round:
        """List the source and read its new items. Return the round, whose list has ended."""
        changes = source.list_changes(sync.cursor)
        # Without a cursor, all items are listed, and documents of a source with other options may be left.
        lists_changes = changes is not None and bool(sync.cursor) and not changes.is_complete
        items = source.list_items() if changes is None else changes.items
        # guard: incomplete-list-removes-nothing
        for batch in _iter_batches(_watch(items, control), self._clock):
            self._sync_batch(job, sync, source, batch, control)
        if changes is not None:
            for gone in _iter_batches(_watch(changes.removed, control), self._clock):
                self._rounds.record_gone(job, sync, gone)
        self._rounds.record_list_end(
            job, sync, cursor=changes.cursor if changes is not None else "", lists_changes=lists_changes
        )
        return replace(sync, is_listed=True, lists_changes=lists_changes)

    def _sync_batch(
        self, job: Job, sync: Round, source: Source, batch: list[SourceItem], control: RoundControl
    ) -> None:
        items = {item.id: item for item in batch}
        known = self._rounds.load_items(sync, list(items))
        # An earlier attempt of this round has recorded the others.
        left = {each: item for each, item in items.items() if each not in known or known[each].seen_in < sync.number}
        unchanged = {each for each, item in left.items() if each in known and _is_unchanged(item, known[each])}
        moved = {each for each in unchanged if not _is_described(left[each], known[each])}
        self._rounds.record_listed(job, sync, len(batch), unchanged - moved)
        for each, item in left.items():
            control.check()
            if each in moved:
                self._record_unchanged(job, sync, item, known[each])
            elif each not in unchanged:
                self._sync_item(job, sync, source, item, known.get(each), control)

    def _sync_item(
        self,
        job: Job,
        sync: Round,
        source: Source,
        item: SourceItem,
        known: SourceItemRecord | None,
        control: RoundControl,
    ) -> None:
        """Read an item and record it. While documents must wait for capacity, this waits, too."""
        while True:
            try:
                found, accepted = self._receive_item(sync, source, item, known, control)
                reach_fault_point("sync.accepted")
                is_changed = accepted.created or known is None or accepted.document.id != known.document_id
                self._rounds.record_item(job, sync, found, document_id=accepted.document.id, is_changed=is_changed)
                reach_fault_point("sync.recorded")
                return
            except ItemUnchangedError:
                assert known is not None
                self._record_unchanged(job, sync, item, known)
                return
            except ItemGoneError:
                return  # The end of the round removes it.
            except _CAPACITY_ERRORS:
                control.wait(_WAIT_SECONDS)
                control.check()
            except _REFUSALS as error:
                self._record_refusal(job, sync, item, error)
                return
            except LeaseLostError:
                self._rounds.discard_unrecorded_documents(sync)
                raise

    def _receive_item(
        self, sync: Round, source: Source, item: SourceItem, known: SourceItemRecord | None, control: RoundControl
    ) -> tuple[FoundItem, AcceptedUpload]:
        # The capacity is checked first, so that nothing is read in vain. The announced size may be wrong.
        self._intake.require_upload_allowed(self._build_request(sync, item), item.size_bytes or 1)
        version = known.version if known is not None and known.document_id and known.failure is None else ""
        with source.open_item(item, version) as opened:
            reach_fault_point("sync.opened")
            return self._receive_opened(sync, opened, control)

    def _receive_opened(
        self, sync: Round, opened: OpenedItem, control: RoundControl
    ) -> tuple[FoundItem, AcceptedUpload]:
        found, request = _describe(opened.item), self._build_request(sync, opened.item)
        with self._intake.receive_upload(request) as upload:
            for block in opened.blocks:
                control.check()
                upload.write(block)
            sha256 = upload.compute_sha256()
            replaced = self._rounds.find_replaceable_document(sync, found.id, sha256, found.readers)
            if replaced is not None:
                self._narrow_readers(sync.tenant_id, replaced, found.readers)
                request = replace(request, replaces=Replacement(replaced, None), sender=None)
            accepted = upload.accept(request)
            return replace(found, size_bytes=accepted.document.version.size_bytes), accepted

    def _build_request(self, sync: Round, item: SourceItem) -> UploadRequest:
        return UploadRequest(
            sync.tenant_id,
            sync.collection,
            item.name,
            declared_type=item.media_type,
            attributes=build_attributes(sync.source_id, _describe(item)),
            priority=JobPriority.BULK,
            readers=item.readers,
            sender=build_sender(item.readers),
            owner=f"{SOURCE_OWNER_PREFIX}{sync.source_id}",
        )

    def _narrow_readers(self, tenant_id: str, document_id: str, readers: frozenset[str] | None) -> None:
        """Hide a document from those who may not see its next version. Others see it when it is recorded."""
        document = self._catalog.load_document(tenant_id, document_id)
        if readers is None or document.readers == readers:
            return
        narrowed = readers if document.readers is None else document.readers & readers
        # guard: readers-before-content
        self._catalog.change_document(
            tenant_id, document_id, DocumentChange(readers=narrowed, changed=frozenset({"readers"})), None
        )

    def _record_unchanged(self, job: Job, sync: Round, item: SourceItem, known: SourceItemRecord) -> None:
        try:
            found = replace(_describe(item), version=known.version)
        except _REFUSALS as error:
            self._record_refusal(job, sync, item, error)
            return
        self._rounds.record_item(job, sync, found, document_id=known.document_id, is_changed=False)

    def _record_refusal(self, job: Job, sync: Round, item: SourceItem, error: LeadlineError) -> None:
        is_temporary = isinstance(error, (*TEMPORARY_ERRORS, DocumentNotFoundError, ItemUnavailableError))
        # The readers are those of the item, so that a document with its earlier content is not shown to others.
        found = FoundItem(
            item.id,
            _strip(item.version),
            clean_display_name(_strip(item.name)),
            _strip(item.path),
            _strip(item.url),
            _strip(item.author),
            readers=item.readers,
        )
        failure = Failure(error.code, *error.public_message)
        self._rounds.record_refusal(job, sync, found, failure, is_temporary=is_temporary)


def _iter_batches(found: Iterator[Each], clock: Callable[[], float]) -> Iterator[list[Each]]:
    """Yield the elements in batches, which are smaller if the list is slow."""
    batch: list[Each] = []
    until = clock() + _BATCH_SECONDS
    for each in found:
        batch.append(each)
        if len(batch) == _BATCH_ITEMS or clock() > until:
            yield batch
            batch, until = [], clock() + _BATCH_SECONDS
    if batch:
        yield batch


def _watch(found: Iterable[Each], control: RoundControl) -> Iterator[Each]:
    """Yield the elements of a list that may be slow, unless the round must end."""
    for each in found:
        control.check()
        yield each


def _is_unchanged(item: SourceItem, known: SourceItemRecord) -> bool:
    return bool(item.version) and item.version == known.version and not known.is_retried


def _is_described(item: SourceItem, known: SourceItemRecord) -> bool:
    """Return whether the catalog has this description. Of an item whose document was deleted, it keeps none."""
    if known.document_id is None or not known.item_id:
        return True
    name, modified = clean_display_name(item.name), item.modified_at
    described = (name, item.path, item.url, item.author, modified, item.readers)
    return described == (known.name, known.path, known.url, known.author, known.modified_at, known.readers)


def _describe(item: SourceItem) -> FoundItem:
    """Check the description of an item. Raises `InputError` or `MetadataError` if it cannot be stored."""
    for name in ("id", "version", "name", "path", "url", "author"):
        check_text(getattr(item, name), name)
    readers = None if item.readers is None else validate_readers(item.readers)
    name, size = clean_display_name(item.name), item.size_bytes
    return FoundItem(item.id, item.version, name, item.path, item.url, item.author, item.modified_at, size, readers)


def _strip(text: str) -> str:
    """Remove characters that the catalog cannot store."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
