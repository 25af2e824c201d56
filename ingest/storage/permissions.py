"""Makes the files of an installation accessible to its own user only."""

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_OTHERS, _GROUP_AND_OTHERS = 0o007, 0o077


def make_new_files_private() -> None:
    """Make this process, and every process that it starts, create files and folders for its own user only."""
    os.umask(_GROUP_AND_OTHERS)


def list_exposed_paths(home: Path, limit: int) -> list[Path]:
    """List up to `limit` paths of a data folder that other users can read, write or enter, the folder first.

    A folder that belongs to another user is a volume that this process enters through its group, as on Kubernetes. Then
    access by the group is not reported, nor is the folder itself, whose permissions are not ours to change.
    """
    if not home.is_dir():
        return []
    is_ours = os.geteuid() in (0, home.stat().st_uid)
    unwanted = _GROUP_AND_OTHERS if is_ours else _OTHERS
    own = [home] if is_ours else []
    return list(islice((path for path in (*own, *_iter_paths(home)) if _get_mode(path) & unwanted), limit))


def _iter_paths(home: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(home):
        for name in (*folders, *names):
            yield Path(folder, name)


def _get_mode(path: Path) -> int:
    """Return the permission bits of a path; 0 for a link, whose bits mean nothing, and for a path that was removed."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return 0
    return 0 if stat.S_ISLNK(mode) else stat.S_IMODE(mode)
