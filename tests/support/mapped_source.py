"""Shows the items of a source as the files that a test has put into it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ingest.sources.port import OpenedItem, Source, SourceChanges, SourceItem


@dataclass
class MappedSource:
    """`find_file` returns the name and the content of the file in an item's content."""

    source: Source
    find_file: Callable[[bytes], tuple[str, bytes]]

    def list_items(self) -> Iterator[SourceItem]:
        for item in self.source.list_items():
            with self.source.open_item(item) as opened:
                name, _ = self.find_file(b"".join(opened.blocks))
            yield replace(item, name=name)

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        with self.source.open_item(item, known_version) as opened:
            _, content = self.find_file(b"".join(opened.blocks))
            yield OpenedItem(opened.item, iter([content]))

    def list_changes(self, cursor: str) -> SourceChanges | None:
        return self.source.list_changes(cursor)

    def close(self) -> None:
        self.source.close()
