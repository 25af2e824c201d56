"""The log of a run in memory."""

import threading
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ingest.storage.answers.run_records import RunLogEntry
from ingest.storage.documents.rows import ActiveDocument
from rlm.llm.budgets import Usage


class MemoryLog:
    """`commits` are the entries of each; `failure` is raised by the next one. Versions in `gone` are withheld.

    `told` is what the run has spent in all, if it was told after a failure.
    """

    def __init__(self) -> None:
        self.commits: list[list[RunLogEntry]] = []
        self.failure: Exception | None = None
        self.gone: set[str] = set()
        self.told: tuple[Usage, Decimal] | None = None
        self.documents: list[ActiveDocument] = []
        self._entries: dict[str, RunLogEntry] = {}
        self._lock = threading.Lock()

    @property
    def entries(self) -> list[RunLogEntry]:
        return list(self._entries.values())

    def load_bodies(self, keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        return {key: self._entries[key].body for key in keys if key in self._entries}

    def append_entries(self, entries: Sequence[RunLogEntry]) -> None:
        with self._lock:
            if self.failure is not None:
                raise self.failure
            self.commits.append(list(entries))
            for entry in entries:
                self._entries.setdefault(entry.key, entry)

    def list_hidden_versions(self, version_ids: Collection[str]) -> Collection[str]:
        return self.gone & set(version_ids)

    def load_lost_usage(self) -> Usage:
        return sum((Usage(**entry.body["usage"]) for entry in self.entries if entry.kind == "lost"), Usage())

    def record_spending(self, usage: Usage, dollars: Decimal) -> None:
        self.told = (usage, dollars)

    def list_pinned_documents(self, *, after: int) -> list[ActiveDocument]:
        return [document for document in self.documents if document.sequence > after]
