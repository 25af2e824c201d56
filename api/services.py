"""Everything the edges use, whichever deployment made it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api.settings import Settings
from ingest.blobs import DirectoryBlobs
from ingest.catalog.catalog import Catalog
from ingest.catalog.jobs import Jobs
from ingest.catalog.keys import ApiKeys
from ingest.intake import Intake
from ingest.texts import Texts
from retrieval.search import Searcher
from rlm.answering import Answering
from workers.enqueue import Doorbell

DEFAULT_TENANT = "default"


@dataclass
class Services:
    """`remove` takes a deleted version, by its id, out of index and blobs, and returns chunks removed and bytes freed.

    `accepting` turns false when the process begins to stop.
    """

    settings: Settings
    catalog: Catalog
    jobs: Jobs
    keys: ApiKeys
    blobs: DirectoryBlobs
    texts: Texts
    intake: Intake
    searcher: Searcher
    answering: Answering
    doorbell: Doorbell
    remove: Callable[[str], tuple[int, int]]
    accepting: bool = True

    def parts(self) -> dict[str, Any]:
        """The state of each part, for `/health/ready`."""
        waiting = self.jobs.waiting()
        return {
            "search": {"state": "ready"},
            "jobs": {kind.value: count for kind, count in waiting.items()},
            "language_model": self.answering.state(),
        }
