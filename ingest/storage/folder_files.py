"""Read the sizes of the files below a folder while another process changes the folder."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def iter_file_stats(folder: Path) -> Iterator[os.stat_result]:
    """Yield the status of each file and folder below a folder, in no particular order.

    Files and folders that disappear in the meantime are skipped. Links are not followed.
    """
    # Path.rglob raises FileNotFoundError when a folder disappears after it was listed. os.walk ignores such a folder.
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                yield os.lstat(os.path.join(parent, name))  # noqa: PTH118 - a Path for each file costs too much.
