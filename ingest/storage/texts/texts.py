"""Storage of normalized texts and their maps. A span of code points is read without loading the whole text.

A text is stored as UTF-8, in which a code point takes one to four bytes. The map records the byte offset of every
1,024th code point, so reading a span takes only one short read, no matter how long the text is.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from ingest.storage.blobs.checked import CheckedBlobs
from ingest.storage.blobs.local_copies import LocalCopies
from ingest.storage.blobs.store import Blobs
from ingest.storage.digests import Digest, DigestRecords
from ingest.storage.keyed_locks import KeyedLocks
from ingest.storage.texts.chunks import Chunk
from ingest.storage.texts.layout import NO_LAYOUT, Layout, build_pages, dump_layout, parse_layout
from ingest.storage.texts.positions import Positions

_STRIDE = 1024
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class TextMap:
    """The map of a version's text: byte offsets, layout and chunks, without the text itself.

    `marks[i]` is the byte offset of code point `1024 * i`; `marks` is empty if the text is ASCII. `spans` contains the
    start, end, heading path index and page of each chunk. `properties` is the file's metadata
    (`ingest.parsing.properties`).
    """

    characters: int
    size_bytes: int
    title: str | None
    heading_paths: Sequence[Sequence[str]]
    spans: Sequence[tuple[int, int, int, int | None]]
    marks: Sequence[int]
    layout: Layout = NO_LAYOUT
    properties: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def chunks(self) -> tuple[Chunk, ...]:
        """The chunks in reading order, built on first use because that is the slowest step of loading a long map."""
        paths = [tuple(path) for path in self.heading_paths]
        return tuple(
            Chunk(ordinal, start, end, paths[path], page) for ordinal, (start, end, path, page) in enumerate(self.spans)
        )


@dataclass(frozen=True)
class VersionText:
    """A version's text with its layout, chunks, and positions in the file."""

    version_id: str
    text: str
    title: str | None
    chunks: tuple[Chunk, ...]
    layout: Layout = NO_LAYOUT
    positions: Positions = field(default_factory=Positions)
    properties: Mapping[str, str] = field(default_factory=dict)


class Texts:
    """Normalized texts, their maps and their positions, stored in blobs by version id.

    Reading raises `ContentChangedError` if a file was changed outside Leadline, and `TextLostError` if it is missing.
    """

    def __init__(
        self,
        blobs: Blobs,
        digests: DigestRecords | None = None,
        *,
        cached_maps: int = 64,
        concurrent_reads: int = 1,
        copies: LocalCopies | None = None,
    ) -> None:
        """Initialize the store. If `digests` is given, all content is compared with its digest when it is read.

        `cached_maps` is the number of maps that stay in memory. `concurrent_reads` is the maximum number of threads
        that read for others. More than 1 is useful for a store in which each read waits for the network. `copies` are
        the local copies that such a store keeps of what is read.
        """
        self._copies = copies
        self._pool = ThreadPoolExecutor(concurrent_reads, "texts") if concurrent_reads > 1 else None
        self._loading_maps = KeyedLocks()
        self._checked = CheckedBlobs(blobs, digests) if digests is not None else None
        self._blobs = self._checked or blobs
        self._map = lru_cache(maxsize=cached_maps)(self._load_map)
        self._positions = lru_cache(maxsize=8)(self._load_positions)

    def save(
        self, version_id: str, text: str, *, title: str | None, chunks: Iterable[Chunk], layout: Layout = NO_LAYOUT
    ) -> Mapping[str, Digest]:
        """Store a text durably, and return the digests of the written files, keyed by file key.

        Repeating this is safe.
        """
        return self.save_all([VersionText(version_id, text, title, tuple(chunks), layout)])

    def save_all(self, version_texts: Sequence[VersionText]) -> Mapping[str, Digest]:
        """Store the texts of several versions. See `save`."""
        contents: dict[str, bytes] = {}
        for each in version_texts:
            encoded = each.text.encode("utf-8")
            marks = () if len(encoded) == len(each.text) else tuple(_iter_byte_marks(each.text))
            contents[_build_text_key(each.version_id)] = encoded
            contents[_build_map_key(each.version_id)] = _format_map(each, len(encoded), marks)
            if each.positions:
                contents[build_positions_key(each.version_id)] = each.positions.to_bytes()
        self._blobs.put_all(contents)
        return {key: Digest.from_content(content) for key, content in contents.items()}

    def preload_digests(self, version_ids: Collection[str]) -> None:
        """Load the digests of these versions in one query, before the versions are read."""
        if self._checked is not None:
            self._checked.preload_digests(version_ids)

    def load_map(self, version_id: str) -> TextMap:
        """Load the map of a version's text. Raises `KeyError` if the version has no text."""
        with self._loading_maps.hold(version_id):
            return self._map(version_id)

    def start_loading_maps(self, version_ids: Iterable[str]) -> None:
        """Start to load the maps of several versions, if the store is read concurrently.

        `load_map` waits for a map that is being loaded. An error is raised by `load_map` only.
        """
        if self._pool is not None:
            missing = [each for each in dict.fromkeys(version_ids) if not self._is_copied(_build_map_key(each))]
            self.preload_digests(missing)  # In one query: 64 threads would need 64 connections to the catalog.
            for version_id in missing:
                self._pool.submit(copy_context().run, self.load_map, version_id)

    def start_copying(self, version_id: str, start: int, end: int) -> None:
        """Start to read a span of which the store keeps a local copy, so that `read` soon finds it there.

        This does nothing if there is a copy already. An error is raised by `read` only.
        """
        key = _build_text_key(version_id)
        if self._pool is None or self._copies is None or self._is_copied(key, start):
            return
        self.preload_digests([version_id])
        if start == 0:  # The text is read without its map, at the same time as the map: a code point has 1 to 4 bytes.
            self.start_loading_maps([version_id])
            self._pool.submit(copy_context().run, self._blobs.read, key, 0, end)
        else:
            self._pool.submit(copy_context().run, self.read, version_id, start, end)

    def load_positions(self, version_id: str) -> Positions:
        """Load the positions of a version's text in its file. They are empty if the format has none.

        Raises `KeyError` if the version has no text.
        """
        return self._positions(version_id)

    def read(self, version_id: str, start: int = 0, end: int | None = None) -> str:
        """Read the text between two code points. The text ends at its last code point even if `end` is beyond it."""
        entry = self.load_map(version_id)
        end = entry.characters if end is None else min(end, entry.characters)
        if start >= end:
            return ""
        if not entry.marks:
            return self._blobs.read(_build_text_key(version_id), start, end - start).decode("ascii")
        first, last = start // _STRIDE, -(-end // _STRIDE)
        begin = entry.marks[first]
        stop = entry.marks[last] if last < len(entry.marks) else entry.size_bytes
        window = self._blobs.read(_build_text_key(version_id), begin, stop - begin).decode("utf-8")
        return window[start - first * _STRIDE : end - first * _STRIDE]

    def read_bytes(self, version_id: str, byte_start: int, byte_end: int) -> str:
        """Read the text between two byte offsets, such as those in the index. Both must be on code-point boundaries."""
        return self._blobs.read(_build_text_key(version_id), byte_start, byte_end - byte_start).decode("utf-8")

    def read_concurrently(
        self, read: Callable[[_Item], _Result], items: Sequence[_Item], version_ids: Iterable[str]
    ) -> list[_Result]:
        """Call a function that reads these versions' texts for each item, and return the results in the items' order.

        Threads are used only if the store is read concurrently and one of the texts has no local copy. The function
        must not call `read_concurrently`. If it raises an error, the first item's error is raised.
        """
        if self._pool is None or len(items) < 2 or all(map(self._is_copied, map(_build_text_key, set(version_ids)))):
            return [read(item) for item in items]
        return list(
            self._pool.map(lambda context, item: context.run(read, item), [copy_context() for _ in items], items)
        )

    def delete(self, version_id: str) -> int:
        """Delete a version's text, map and positions, and return the number of bytes freed."""
        self._map.cache_clear()
        self._positions.cache_clear()
        keys = (*build_text_keys(version_id), build_positions_key(version_id))
        return sum(self._blobs.delete(key) for key in keys)

    def _is_copied(self, key: str, offset: int = 0) -> bool:
        return self._copies is not None and self._copies.has_block(key, offset)

    def _load_map(self, version_id: str) -> TextMap:
        return _parse_map(self._blobs.read(_build_map_key(version_id)))

    def _load_positions(self, version_id: str) -> Positions:
        characters = self.load_map(version_id).characters
        try:
            return Positions.from_bytes(self._blobs.read(build_positions_key(version_id)), character_count=characters)
        except KeyError:
            return Positions()


def compute_byte_spans(text: str, chunks: Sequence[Chunk]) -> list[tuple[int, int]]:
    """Compute the UTF-8 byte span of each chunk. The chunks must be in reading order."""
    spans: list[tuple[int, int]] = []
    position = offset = 0
    for chunk in chunks:
        offset += len(text[position : chunk.start].encode("utf-8"))
        size = len(text[chunk.start : chunk.end].encode("utf-8"))
        spans.append((offset, offset + size))
        position, offset = chunk.end, offset + size
    return spans


def _iter_byte_marks(text: str) -> Iterator[int]:
    offset = 0
    for start in range(0, len(text), _STRIDE):
        yield offset
        offset += len(text[start : start + _STRIDE].encode("utf-8"))


def build_text_keys(version_id: str) -> tuple[str, str]:
    """Build the keys of a version's text and map."""
    return _build_text_key(version_id), _build_map_key(version_id)


def build_positions_key(version_id: str) -> str:
    """Build the key of a version's positions, which not every version has."""
    return f"text/{version_id[:2]}/{version_id}.positions"


def _build_text_key(version_id: str) -> str:
    return f"text/{version_id[:2]}/{version_id}.txt"


def _build_map_key(version_id: str) -> str:
    return f"text/{version_id[:2]}/{version_id}.json"


def _format_map(version_text: VersionText, size_bytes: int, byte_marks: Sequence[int]) -> bytes:
    """Format a map as JSON. Each heading path is stored once, and referenced by its index."""
    paths = list(dict.fromkeys(chunk.heading_path for chunk in version_text.chunks))
    number = {path: index for index, path in enumerate(paths)}
    return json.dumps(
        {
            "characters": len(version_text.text),
            "size_bytes": size_bytes,
            "title": version_text.title,
            "marks": byte_marks,
            "layout": dump_layout(version_text.layout),
            "properties": dict(version_text.properties),
            "heading_paths": paths,
            "chunks": [(c.start, c.end, number[c.heading_path], c.page) for c in version_text.chunks],
        },
        separators=(",", ":"),
    ).encode()


def _parse_map(content: bytes) -> TextMap:
    raw: dict[str, Any] = json.loads(content)
    if "layout" in raw:
        layout = parse_layout(raw["layout"], character_count=raw["characters"])
    else:  # The map was written before texts had a layout.
        layout = Layout(places=build_pages(raw["pages"]))
    return TextMap(
        raw["characters"],
        raw["size_bytes"],
        raw["title"],
        raw["heading_paths"],
        raw["chunks"],
        raw["marks"],
        layout,
        raw.get("properties", {}),  # Maps from earlier releases have no properties.
    )
