"""`python -m tests.faults.compaction_parent FOLDER STEP`: compacts an index and is killed at the step named.

While the child works it writes, so that there is a journal.
"""

import os
import signal
import sys
from pathlib import Path

from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from tests.support.compacted_index import BY_HAND, DIMENSION, write_more


def main(folder: Path, step: str) -> None:
    def observe(reached: str) -> None:
        if reached == "cloned":
            write_more(index)
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    index = QdrantEdgeIndex(folder, dimension=DIMENSION, policy=BY_HAND, observer=observe)
    index.compact()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
