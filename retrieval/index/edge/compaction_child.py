"""`python -m retrieval.index.edge.compaction_child FOLDER DIMENSION PARENT_PID`: the process that compacts a shard.

Nobody else may have the shard open. The process writes "done" to its standard output and ends when its input closes; an
exit before "done" is a failure.
"""

import ctypes
import mmap
import os
import signal
import sys
from pathlib import Path

from retrieval.index.edge.edge_shard import compact_shard
from retrieval.index.edge.shard_folder import sync_shard

# At this niceness the process gets a quarter of a processor beside an encoder that uses them all: the journal stays
# short, and so does the encoder's delay.
_NICENESS = 5
_MAX_HELD_BYTES = 512 * 1024**2
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    folder, dimension, parent = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    _die_with_parent(parent)
    os.nice(_NICENESS)
    compact_shard(folder, dimension)
    sync_shard(folder)
    held = _hold_in_memory(folder)
    sys.stdout.write("done\n")
    sys.stdout.flush()
    sys.stdin.read()
    del held


def _die_with_parent(parent: int) -> None:
    # The engine holds the GIL, so no thread here could watch the parent. The kernel watches the thread that
    # started this process, and that thread waits for it. On other systems this process ends when it is done.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("The process that started this one is gone.")


def _hold_in_memory(folder: Path) -> list[mmap.mmap]:
    """Map the files into memory, small ones first.

    The engine drops a file from the page cache when it opens it, and then reads it from the disk: 800 ms for 100,000
    chunks, with the GIL held. Pages that a process has mapped are not dropped: 65 ms.
    """
    held: list[mmap.mmap] = []
    if sys.platform == "linux":
        total = 0
        files = [(path.stat().st_size, path) for path in folder.rglob("*") if path.is_file()]
        for size, path in sorted(files):
            total += size
            if size and total <= _MAX_HELD_BYTES:
                with path.open("rb") as file:
                    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
                    held.append(mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ))
    return held


if __name__ == "__main__":
    main(sys.argv[1:])
