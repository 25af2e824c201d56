"""Who may read the files of an installation."""

import os
from pathlib import Path

import pytest

from ingest.storage.permissions import list_exposed_paths


def private(home: Path) -> Path:
    """A data folder that is its user's alone, with a file in it."""
    home.mkdir(mode=0o700)
    (home / "blobs").mkdir(mode=0o700)
    (home / "blobs" / "x").touch(mode=0o600)
    return home


def test_a_private_data_folder_has_no_wider_paths_and_links_are_not_counted(tmp_path: Path) -> None:
    home = private(tmp_path / "home")
    (home / "link").symlink_to(home / "blobs")
    assert list_exposed_paths(home, 10) == []
    assert list_exposed_paths(tmp_path / "nothing", 10) == []


@pytest.mark.parametrize(
    ("name", "mode"), [("", 0o755), ("", 0o710), ("blobs", 0o750), ("blobs/x", 0o644), ("blobs/x", 0o620)]
)
def test_paths_that_others_may_read_write_or_enter_are_found(tmp_path: Path, name: str, mode: int) -> None:
    home = private(tmp_path / "home")
    (home / name).chmod(mode)
    assert list_exposed_paths(home, 10) == [home / name]


def test_no_more_paths_are_listed_than_asked_for(tmp_path: Path) -> None:
    home = private(tmp_path / "home")
    for number in range(10):
        (home / str(number)).touch()
        (home / str(number)).chmod(0o644)
    assert len(list_exposed_paths(home, 3)) == 3


def test_a_volume_of_another_user_is_entered_through_its_group_which_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = private(tmp_path / "home")
    (home / "blobs" / "x").chmod(0o660)
    home.chmod(0o775)
    monkeypatch.setattr(os, "geteuid", lambda: home.stat().st_uid + 1)
    assert list_exposed_paths(home, 10) == []
    (home / "blobs" / "x").chmod(0o664)
    assert list_exposed_paths(home, 10) == [home / "blobs" / "x"]
