"""Everything the edges use, whichever deployment made it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api.settings import Settings
from ingest.blobs import DirectoryBlobs
from ingest.catalog.batches import Batches
from ingest.catalog.catalog import Catalog
from ingest.catalog.jobs import Jobs
from ingest.catalog.keys import ApiKeys
from ingest.catalog.runs import Runs
from ingest.documents import Deletion
from ingest.errors import LeadlineError
from ingest.feed import Feed
from ingest.intake import Intake
from ingest.texts import Texts
from retrieval.query_cache import CachedSearcher
from retrieval.rewriting import RewritingSearcher
from rlm.answering import Answering
from workers.enqueue import Doorbell

DEFAULT_TENANT = "default"


@dataclass
class Services:
    """`delete` takes a tenant's document out of the catalog, the index and the blobs, and returns the receipt.

    `require_index` raises a `LeadlineError` while searches cannot work. `accepting` turns false when the process
    begins to stop.
    """

    settings: Settings
    catalog: Catalog
    jobs: Jobs
    runs: Runs
    keys: ApiKeys
    batches: Batches
    feed: Feed
    blobs: DirectoryBlobs
    texts: Texts
    intake: Intake
    searcher: CachedSearcher
    rewriting: RewritingSearcher
    answering: Answering
    doorbell: Doorbell
    delete: Callable[[str, str], Deletion]
    require_index: Callable[[], None] = lambda: None
    accepting: bool = True

    def parts(self) -> dict[str, Any]:
        """The state of each part, for `/health/ready`."""
        waiting = self.jobs.unfinished()
        return {
            "search": self._search(),
            "jobs": {kind.value: count for kind, count in waiting.items()},
            "language_model": self.answering.state(),
        }

    def _search(self) -> dict[str, str]:
        try:
            self.require_index()
        except LeadlineError as error:
            return {"state": "unavailable", "code": error.code, "detail": str(error)}
        return {"state": "ready"}
