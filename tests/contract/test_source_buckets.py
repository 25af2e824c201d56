"""Buckets as sources: the contract over all three kinds, against real servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.sources.errors import ItemRefusedError, SourceRefusedError, SourceUnavailableError
from tests.contract.source_contract import SourceContract, list_by_name, read_item
from tests.support.bucket_servers import BucketPlace, open_bucket_place, open_bucket_server


@pytest.fixture(scope="module", params=["s3", "gcs", "azure"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    with open_bucket_server(request.param) as url:
        yield request.param, url


@pytest.fixture
def place(server: tuple[str, str], tmp_path: Path) -> Iterator[BucketPlace]:
    with open_bucket_place(*server, tmp_path) as place:
        yield place


class TestBucket(SourceContract):
    @pytest.fixture
    def place(self, place: BucketPlace) -> BucketPlace:
        return place


def test_folders_are_no_items_and_an_empty_object_is_one(place: BucketPlace) -> None:
    place.write_odd("reports/")
    place.write("reports/a.txt", b"text")
    place.write("empty.txt", b"")
    assert set(list_by_name(place)) == {"a.txt", "empty.txt"}
    if place.kind == "azure":  # As accounts with a hierarchical namespace mark folders.
        place.write_odd("other", headers={"x-ms-meta-hdi_isfolder": "true"})
        assert set(list_by_name(place)) == {"a.txt", "empty.txt"}


def test_only_the_folder_and_the_patterns_that_were_chosen_are_read(place: BucketPlace) -> None:
    for key in ("reports/2025/a.txt", "reports/2025/b.pdf", "reports/2025-old/c.txt", "d.txt", "reports/.e.txt"):
        place.write(key, b"text")
    place.options = {"prefix": "/reports/2025/"}
    assert {item.path for item in list_by_name(place).values()} == {"reports/2025/a.txt", "reports/2025/b.pdf"}
    place.options = {"prefix": "reports", "include": ["2025/*.txt", "*.pdf"], "exclude": ["b.*"]}
    assert {item.path for item in list_by_name(place).values()} == {"reports/2025/a.txt"}


def test_an_object_that_changed_after_the_list_is_described_as_it_is_read(place: BucketPlace) -> None:
    place.write("a.txt", b"one")
    listed = list_by_name(place)["a.txt"]
    place.write("a.txt", b"two and more")
    with place.open() as source, source.open_item(listed) as opened:
        assert b"".join(opened.blocks) == b"two and more"
    assert opened.item == list_by_name(place)["a.txt"] != listed


def test_a_bucket_that_is_removed_is_an_error_and_no_removal_of_its_items(place: BucketPlace) -> None:
    place.write("a.txt", b"one")
    listed = list_by_name(place)["a.txt"]
    place.remove_bucket()
    with pytest.raises(SourceUnavailableError, match="not found"):
        list_by_name(place)
    with pytest.raises(SourceUnavailableError, match="not found"):
        read_item(place, listed)


@pytest.mark.parametrize("key", ["a//b.txt", "a/../b.txt", "./b.txt", "a\tb.txt"])
def test_a_key_that_cannot_be_read_is_named_and_nothing_is_removed(place: BucketPlace, key: str) -> None:
    place.write("ok.txt", b"text")
    place.write_odd(key, b"text")
    with pytest.raises(SourceRefusedError, match="which cannot be read") as refused:
        list_by_name(place)
    assert repr(key) in refused.value.detail


def test_odd_keys_are_read_and_long_ones_are_refused(place: BucketPlace) -> None:
    contents = {f"q?[x]*{{y}}^`~{n} %20.txt": f"text {n}".encode() for n in range(2)}
    contents["e\u202e\u00a0.txt"] = b"text"
    for key, content in contents.items():
        place.write(key, content)
    place.write("/".join(["f" * 200] * 5) + "/deep.txt", b"deep")
    items = dict(list_by_name(place))
    deep = items.pop("deep.txt")
    assert {name: read_item(place, item) for name, item in items.items()} == contents
    assert len(deep.id) < 1_000
    with pytest.raises(ItemRefusedError, match="characters"):
        read_item(place, deep)


def test_an_object_above_the_limit_is_refused(place: BucketPlace) -> None:
    place.max_item_bytes = 10
    place.write("a.txt", b"x" * 11)
    with pytest.raises(ItemRefusedError, match="11 bytes"):
        read_item(place, list_by_name(place)["a.txt"])


def test_a_server_that_hangs_is_an_error(place: BucketPlace) -> None:
    place.write("a.txt", b"one")
    listed = list_by_name(place)["a.txt"]
    place.timeout_seconds = 0.2
    place.relay.hang()
    with pytest.raises(SourceUnavailableError):
        list_by_name(place)
    with pytest.raises(SourceUnavailableError):
        read_item(place, listed)


@pytest.mark.parametrize("server", ["azure"], indirect=True)  # moto accepts all keys.
def test_credentials_that_are_refused_are_an_error_of_the_source(place: BucketPlace) -> None:
    place.write("a.txt", b"one")
    listed = list_by_name(place)["a.txt"]
    for wrong in ({"account_key": "d3Jvbmc="}, {"account_key": "", "sas_token": "?sv=2024-11-04&sp=rl&sig=wrong"}):
        place.options = {**wrong}
        with pytest.raises(SourceRefusedError, match="403"):
            list_by_name(place)
        with pytest.raises(SourceRefusedError, match="403"):
            read_item(place, listed)
