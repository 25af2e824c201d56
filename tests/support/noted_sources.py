"""The kinds of sources of this process, with a note of each item that is opened: a line with its id."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ingest.sources import registry
from ingest.sources.port import OpenedItem, Source, SourceChanges, SourceContext, SourceItem, SourceKind


@dataclass
class NotedSource:
    """Items that are gone or unchanged are not read, so they are not noted."""

    source: Source
    notes: Path

    def list_items(self) -> Iterator[SourceItem]:
        return self.source.list_items()

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        with self.source.open_item(item, known_version) as opened:
            with self.notes.open("a") as notes:
                notes.write(f"{item.id}\n")
            yield opened

    def list_changes(self, cursor: str) -> SourceChanges | None:
        return self.source.list_changes(cursor)

    def close(self) -> None:
        self.source.close()


def note_reads(notes: Path) -> None:
    """Let all adapters that this process opens note what they read."""

    def wrap(kind: SourceKind) -> SourceKind:
        def build(options: Any, context: SourceContext) -> Source:  # noqa: ANN401 - as in the port
            return NotedSource(kind.build(options, context), notes)

        return replace(kind, build=build)

    for name, kind in list(registry.SOURCE_KINDS.items()):
        registry.SOURCE_KINDS[name] = wrap(kind)  # type: ignore[index]
