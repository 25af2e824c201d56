"""Restricts access to an installation's files to the installation's own user."""

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_OTHERS, _GROUP_AND_OTHERS = 0o007, 0o077


def make_new_files_private() -> None:
    """Restrict new files and folders of this process and its child processes to their own user."""
    os.umask(_GROUP_AND_OTHERS)


def list_exposed_paths(home: Path, limit: int) -> list[Path]:
    """List up to `limit` paths of a data folder that other users can read, write or enter.

    The folder itself comes first. If the folder belongs to another user, it is a volume that this process accesses
    through its group, as on Kubernetes. In this case, neither group access nor the folder itself is reported, because
    this process cannot change the folder's permissions.
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
    """Return the permission bits of a path.

    Returns 0 for a symbolic link, whose permission bits have no meaning, and for a path that was removed.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return 0
    return 0 if stat.S_ISLNK(mode) else stat.S_IMODE(mode)
