"""The contract of adapters of sources. A test module of each adapter subclasses `SourceContract`."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import pytest

from ingest.sources.errors import ItemGoneError, ItemUnchangedError, SourceUnavailableError
from ingest.sources.port import Source, SourceItem


class Place(Protocol):
    """A real source with files that a test can change, and adapters that read it."""

    def write(self, name: str, content: bytes) -> None:
        """Add a file, or replace its content."""

    def remove(self, name: str) -> None:
        """Remove a file."""

    def stop(self) -> None:
        """Make the source unreachable."""

    def open(self) -> AbstractContextManager[Source]:
        """An adapter, which is closed at the end."""


class SourceContract:
    """A fixture `place` must return an empty `Place`."""

    def test_an_empty_source_has_no_items(self, place: Place) -> None:
        assert list_by_name(place) == {}

    def test_items_are_listed_with_stable_ids_and_read_whole(self, place: Place) -> None:
        contents = {f"note {n}.txt": f"text {n} ".encode() * 30_000 * n for n in range(1, 4)}
        for name, content in contents.items():
            place.write(name, content)
        first, second = list_by_name(place), list_by_name(place)
        assert first == second
        assert len({item.id for item in first.values()}) == 3
        assert {name: read_item(place, item) for name, item in first.items()} == contents

    def test_names_of_all_languages_are_read(self, place: Place) -> None:
        names = ["Prüfbericht 2025 №1.txt", "报告 100%.txt", "a+b&c=#d.txt"]
        for name in names:
            place.write(name, name.encode())
        items = list_by_name(place)
        assert {name: read_item(place, item) for name, item in items.items()} == {n: n.encode() for n in names}

    def test_the_version_changes_with_the_content(self, place: Place) -> None:
        place.write("a.txt", b"one")
        place.write("b.txt", b"same")
        before = list_by_name(place)
        place.write("a.txt", b"two")
        after = list_by_name(place)
        assert after["a.txt"].id == before["a.txt"].id
        assert after["a.txt"].version != before["a.txt"].version
        assert after["b.txt"].version == before["b.txt"].version
        assert read_item(place, after["a.txt"]) == b"two"

    def test_a_removed_item_is_no_longer_listed_and_is_gone_when_it_is_opened(self, place: Place) -> None:
        place.write("a.txt", b"one")
        place.write("b.txt", b"two")
        listed = list_by_name(place)["a.txt"]
        place.remove("a.txt")
        assert set(list_by_name(place)) == {"b.txt"}
        with pytest.raises(ItemGoneError):
            read_item(place, listed)

    def test_an_item_with_a_known_version_is_not_read_again(self, place: Place) -> None:
        place.write("a.txt", b"one")
        with place.open() as source, source.open_item(list_by_name(place)["a.txt"]) as opened:
            version = opened.item.version
        with pytest.raises(ItemUnchangedError):
            read_item(place, list_by_name(place)["a.txt"], version)

    def test_a_source_that_is_away_is_an_error_and_not_an_empty_list(self, place: Place) -> None:
        place.write("a.txt", b"one")
        listed = list_by_name(place)["a.txt"]
        place.stop()
        with pytest.raises(SourceUnavailableError):
            list_by_name(place)
        with pytest.raises(SourceUnavailableError):
            read_item(place, listed)


def list_by_name(place: Place) -> Mapping[str, SourceItem]:
    """List the items of a source by their names."""
    with place.open() as source:
        return {item.name: item for item in source.list_items()}


def read_item(place: Place, item: SourceItem, known_version: str = "") -> bytes:
    """Read an item whole."""
    with place.open() as source, source.open_item(item, known_version) as opened:
        return b"".join(opened.blocks)
