import errno
import os
from pathlib import Path

import pytest

from ingest.storage.ballast import NEEDED_BYTES, Ballast

MIB = 1024**2
SIZE = 4 * NEEDED_BYTES


class Disk:
    """A disk with so much free beside the ballast, whose room counts as soon as it is given up."""

    def __init__(self, folder: Path, free: int) -> None:
        self.folder, self.free, self.at_first = folder, free, 0

    def free_bytes(self, folder: Path) -> int:
        return self.free + self.at_first - _allocated(folder / "ballast")

    def fill(self) -> None:
        self.free, self.at_first = 0, _allocated(self.folder / "ballast")


def _allocated(path: Path) -> int:
    return path.stat().st_blocks * 512 if path.exists() else 0


def ballast_on(disk: Disk, *, min_free_bytes: int = 0) -> Ballast:
    return Ballast(disk.folder, SIZE, min_free_bytes=min_free_bytes, get_free_bytes=disk.free_bytes)


def test_the_room_of_the_ballast_is_really_allocated_for_its_owner_alone(tmp_path: Path) -> None:
    ballast = ballast_on(Disk(tmp_path, 10 * SIZE))
    assert not ballast.is_full_size
    ballast.refill()
    assert ballast.is_full_size
    assert ballast.held_bytes >= SIZE
    assert (tmp_path / "ballast").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_gets_as_much_room_as_is_missing_as_often_as_there_is_ballast(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 10 * SIZE)
    ballast = ballast_on(disk)
    ballast.refill()
    for left in (3, 2, 1, 0, 0):
        disk.fill()
        before = ballast.held_bytes
        ballast.shrink()
        assert ballast.held_bytes == left * NEEDED_BYTES
        assert disk.free_bytes(tmp_path) == before - left * NEEDED_BYTES
    assert not ballast.is_full_size


def test_with_enough_room_the_ballast_stays(tmp_path: Path) -> None:
    ballast = ballast_on(Disk(tmp_path, 10 * SIZE))
    ballast.refill()
    ballast.shrink()
    assert ballast.is_full_size


def test_questions_leave_half_of_the_ballast_to_deletions(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 10 * SIZE)
    ballast = ballast_on(disk)
    ballast.refill()
    for _ in range(100):
        disk.fill()
        ballast.shrink(MIB, keep_half=True)
    assert ballast.held_bytes == SIZE // 2
    disk.fill()
    ballast.shrink()
    assert ballast.held_bytes == SIZE // 2 - NEEDED_BYTES
    disk.fill()
    ballast.shrink(MIB, keep_half=True)
    assert ballast.held_bytes == SIZE // 2 - NEEDED_BYTES


@pytest.mark.parametrize(("free", "whole"), [(SIZE, False), (SIZE + NEEDED_BYTES, False), (SIZE + 40 * MIB, True)])
def test_the_ballast_is_filled_up_only_where_the_reserve_stays_free(tmp_path: Path, free: int, whole: bool) -> None:
    ballast = ballast_on(Disk(tmp_path, free), min_free_bytes=40 * MIB)
    ballast.refill()
    assert ballast.is_full_size is whole


def test_when_room_is_back_the_ballast_is_filled_up_again(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 10 * SIZE)
    ballast = ballast_on(disk)
    ballast.refill()
    disk.fill()
    ballast.shrink()
    ballast.refill()
    assert not ballast.is_full_size
    disk.free = 10 * SIZE
    ballast.refill()
    assert ballast.is_full_size


def test_a_disk_that_fills_up_meanwhile_leaves_the_ballast_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    ballast = ballast_on(Disk(tmp_path, 10 * SIZE))
    ballast.refill()
    assert ballast.held_bytes == 0
