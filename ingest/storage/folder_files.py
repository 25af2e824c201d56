"""Read the sizes of the files below a folder while another process changes the folder."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def iter_file_stats(folder: Path) -> Iterator[os.stat_result]:
    """Yield the status of each file and folder below a folder, in no particular order.

    Files and folders that disappear in the meantime are skipped. Links are not followed. Raises `OSError` if a folder
    cannot be listed for another reason, because the sizes of its files would be missing.
    """
    # Path.rglob raises FileNotFoundError when a folder disappears after it was listed.
    for parent, folders, files in os.walk(folder, onerror=_raise_unless_gone):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                yield os.lstat(os.path.join(parent, name))  # noqa: PTH118 - a Path for each file costs too much.


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
