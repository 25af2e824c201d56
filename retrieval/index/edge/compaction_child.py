"""The process that compacts a shard: `python -m retrieval.index.edge.compaction_child FOLDER DIMENSION PARENT_PID`.

No other process may have the shard open. The process writes "done" to its standard output and exits when its standard
input closes. If it exits before it writes "done", it has failed.
"""

import ctypes
import mmap
import os
import signal
import sys
from pathlib import Path

from retrieval.index.edge.edge_shard import compact_shard
from retrieval.index.edge.shard_folder import sync_shard

# Niceness of this process, with which it gets a quarter of a core beside an encoder that uses all cores. That is enough
# to keep the journal short, and hardly slows the encoder.
_NICENESS = 5
_MAX_MAPPED_BYTES = 512 * 1024**2
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    folder, dimension, parent = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    _exit_with_parent(parent)
    os.nice(_NICENESS)
    compact_shard(folder, dimension)
    sync_shard(folder)
    held = _map_files(folder)
    sys.stdout.write("done\n")
    sys.stdout.flush()
    sys.stdin.read()
    del held


def _exit_with_parent(parent_pid: int) -> None:
    # No thread in this process could watch the parent process, because the engine holds the GIL. On Linux, the kernel
    # kills this process when the parent's thread that started it ends; that thread waits for this process. On other
    # systems, this process ends only when it has finished its work.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            sys.exit("The parent process has exited.")


def _map_files(folder: Path) -> list[mmap.mmap]:
    """Map the shard's files into memory, small files first, and return the maps.

    When the engine opens a file, it drops the file from the page cache and reads it from disk again, which takes 800 ms
    for 100,000 chunks, with the GIL held. Pages that a process has mapped are not dropped, which reduces this time to
    65 ms.
    """
    held: list[mmap.mmap] = []
    if sys.platform == "linux":
        total = 0
        files = [(path.stat().st_size, path) for path in folder.rglob("*") if path.is_file()]
        for size, path in sorted(files):
            total += size
            if size and total <= _MAX_MAPPED_BYTES:
                with path.open("rb") as file:
                    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
                    held.append(mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ))
    return held


if __name__ == "__main__":
    main(sys.argv[1:])
