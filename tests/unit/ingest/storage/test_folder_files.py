"""The sizes of files below a folder that changes while it is read."""

import os
import shutil
import stat as stat_module
from pathlib import Path

import pytest

from ingest.storage.folder_files import iter_file_stats


def test_every_file_below_the_folder_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "deep").write_bytes(b"12345")
    (tmp_path / "top").write_bytes(b"123")
    (tmp_path / "link").symlink_to(tmp_path / "a")

    sizes = [stat.st_size for stat in iter_file_stats(tmp_path) if stat_module.S_ISREG(stat.st_mode)]

    assert sorted(sizes) == [3, 5]


def test_folders_and_files_that_disappear_in_the_meantime_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"1")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"22")
    stats = iter_file_stats(tmp_path)

    next(stats)  # The folder is listed now.
    shutil.rmtree(tmp_path / "first")
    shutil.rmtree(tmp_path / "second")

    assert sum(stat.st_size for stat in stats if stat_module.S_ISREG(stat.st_mode)) == 1


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse)
        with pytest.raises(PermissionError):
            list(iter_file_stats(tmp_path))
