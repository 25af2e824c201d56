"""Fetching over HTTP from a hub that breaks, forgets, redirects and lies."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.errors import ModelSourceError
from retrieval.models.manifest import HubAddress
from retrieval.models.sources import HubSource
from tests.support.hub_server import HubFile, hub_server
from tests.support.model_files import model_file_of, some_bytes

CONTENT = some_bytes(500_000)
OTHER = some_bytes(500_000, seed=1)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubFile]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hub_server(CONTENT) as served:
        yield served


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "small.bin.part"


def _deliver(hub: HubFile, part: Path, source: HubSource | None = None) -> None:
    address = HubAddress(hub.url)
    used = source or HubSource(sleep=lambda seconds: None)
    used.fetch_file(model_file_of(CONTENT, address), address, part, lambda done_bytes: None)


def _leave_part(hub: HubFile, part: Path) -> None:
    """An earlier delivery that ended after 200,000 bytes."""
    hub.cuts.append(200_000)
    hub.statuses.extend([200, 404])
    with pytest.raises(ModelSourceError):
        _deliver(hub, part)
    hub.requests.clear()


def test_a_broken_connection_is_continued_within_one_delivery(hub: HubFile, part: Path) -> None:
    hub.cuts.extend([100_000, 50_000])

    _deliver(hub, part)

    assert part.read_bytes() == CONTENT
    assert hub.ranges() == [None, "bytes=100000-", "bytes=150000-"]


def test_a_connection_that_brings_nothing_is_given_up_after_three_tries(hub: HubFile, part: Path) -> None:
    hub.cuts.extend([100_000, 0, 0, 0])

    with pytest.raises(ModelSourceError, match="connection was lost"):
        _deliver(hub, part)

    assert len(hub.requests) == 4
    assert part.read_bytes() == CONTENT[:100_000]


def test_a_hub_that_knows_no_ranges_starts_from_the_first_byte(hub: HubFile, part: Path) -> None:
    _leave_part(hub, part)
    hub.knows_ranges = False

    _deliver(hub, part)

    assert hub.ranges() == ["bytes=200000-"]
    assert part.read_bytes() == CONTENT


def test_a_whole_part_needs_no_request(hub: HubFile, part: Path) -> None:
    part.write_bytes(CONTENT)

    _deliver(hub, part)

    assert hub.requests == []


def test_a_page_of_another_length_is_refused_before_its_body_is_kept(hub: HubFile, part: Path) -> None:
    hub.content = b"Please sign in to the network."

    with pytest.raises(ModelSourceError, match="offers 30 bytes"):
        _deliver(hub, part)

    assert not part.exists()


def test_a_body_without_end_is_cut_at_the_files_size(hub: HubFile, part: Path) -> None:
    hub.content, hub.states_length = CONTENT * 4, False

    with pytest.raises(ModelSourceError, match="more bytes"):
        _deliver(hub, part)

    assert part.stat().st_size <= len(CONTENT)


def test_a_busy_hub_is_asked_again(hub: HubFile, part: Path) -> None:
    hub.statuses.extend([503, 429])
    pauses: list[float] = []

    _deliver(hub, part, HubSource(sleep=pauses.append))

    assert part.read_bytes() == CONTENT
    assert pauses == sorted(pauses)
    assert len(pauses) == 2


def test_a_file_the_hub_does_not_have_is_asked_for_once(hub: HubFile, part: Path) -> None:
    hub.statuses.append(404)

    with pytest.raises(ModelSourceError, match="returned status 404"):
        _deliver(hub, part)

    assert len(hub.requests) == 1


def test_a_hub_that_cannot_be_reached_is_not_waited_for(part: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = HubAddress(f"http://127.0.0.1:{closed.getsockname()[1]}/file")
        source = HubSource(sleep=lambda seconds: pytest.fail("waited"))
        with pytest.raises(ModelSourceError, match=r"http://127\.0\.0\.1"):
            source.fetch_file(model_file_of(CONTENT, nowhere), nowhere, part, lambda done_bytes: None)


def test_an_address_that_is_no_url_is_a_source_error(part: Path) -> None:
    address = HubAddress("gopher://127.0.0.1/file")

    with pytest.raises(ModelSourceError):
        HubSource().fetch_file(model_file_of(CONTENT, address), address, part, lambda done_bytes: None)
