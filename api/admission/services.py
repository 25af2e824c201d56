"""The services that all edges use, whichever deployment made them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from api.admission.meter import Meter
from api.settings.settings import Settings
from ingest.file_intake import FileIntake
from ingest.intake import Intake
from ingest.resumable import ResumableUploads
from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.conversations import Conversations
from ingest.storage.answers.feedback import Feedback
from ingest.storage.answers.runs import Runs
from ingest.storage.answers.shares import Shares
from ingest.storage.answers.usage import UsageByCollection
from ingest.storage.audit.store import Audit
from ingest.storage.ballast import Ballast
from ingest.storage.blobs.store import BlobStore
from ingest.storage.build import Identities
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.collections import Collections
from ingest.storage.documents.records import Deletion
from ingest.storage.errors import LeadlineError, StorageFullError
from ingest.storage.feed.feed import Feed
from ingest.storage.generations.records import CopiesState, IndexState
from ingest.storage.idempotency import IdempotencyKeys
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.slack.files import SlackFiles
from ingest.storage.slack.store import Slack
from ingest.storage.slack.usage import UsageByChannel
from ingest.storage.tables.types import RecordTable, Row
from ingest.storage.texts.texts import Texts
from ingest.storage.uploads.files import Files
from ingest.storage.webhooks.store import Webhooks
from retrieval.errors import IndexLostError
from retrieval.search.query_cache import CachedSearcher
from rlm.events import Event
from rlm.requests import AnswerRequest
from rlm.rewriting import ModelRewriter
from rlm.runs.port import Durability
from workers.enqueue import Doorbell

log = structlog.get_logger(__name__)

DEFAULT_TENANT = "default"
_DOTS_OF_A_TOKEN = 2  # header.payload.signature; a key has none


class Answers(Protocol):
    """Answers questions, as `rlm.answering.Answering` does."""

    def state(self) -> Mapping[str, Any]:
        """Return the language model's state, for people."""

    def stream(
        self, request: AnswerRequest, *, cancelled: Callable[[], bool], durability: Durability
    ) -> Iterator[Event]:
        """Yield the answer's events, `Completed` last. Raises refusals at once."""


class Tokens(Protocol):
    """Checks bearer tokens of an identity provider, as `api.accounts.oidc.OidcTokens` does."""

    def check(self, token: str) -> Principal | None: ...

    def check_identity(self, token: str, nonce: str) -> Principal | None: ...


class RecordReader(Protocol):
    """Reads the records of tables, as `ingest.storage.tables.store.RecordTables` does."""

    def tables(self, version_id: str) -> tuple[RecordTable, ...]: ...

    def rows(self, version_id: str, index: int, numbers: Sequence[int] | range) -> list[Row]: ...


class PageDrawer(Protocol):
    """Draws pages of files, as `api.documents.page_images.PageImages` does."""

    def draw(self, path: Path, media_type: str, page: int, width: int, *, name: str) -> bytes: ...


@dataclass
class Services:
    """The parts of a service. `delete` removes a document from catalog, index and blobs, and returns the receipt.
    `settle` gives the index the readers of a document that was changed, and `remove_files` removes the bytes of files
    that were deleted.

    `model_costs` says that the language model has a price, and it is not 0. `require_index` raises a `LeadlineError`
    while searches cannot work, and `ping` while the catalog does not answer. `index_state` reads the result of the last
    check of the active index, and `index_copies` the copies of indexes on several nodes. `notices` tells what people
    should see to. `ballast` holds room on the disk of a data folder for deletions; there is none in a cluster.
    `accepting` turns false when the process begins to stop.
    """

    settings: Settings
    catalog: Catalog
    jobs: Jobs
    runs: Runs
    identities: Identities
    audit: Audit
    batches: Batches
    collections: Collections
    files: Files
    file_intake: FileIntake
    conversations: Conversations
    feedback: Feedback
    shares: Shares
    slack: Slack
    slack_files: SlackFiles
    webhooks: Webhooks
    idempotency: IdempotencyKeys
    feed: Feed
    blobs: BlobStore
    texts: Texts
    record_tables: RecordReader
    page_images: PageDrawer
    intake: Intake
    uploads: ResumableUploads
    searcher: CachedSearcher
    rewriter: ModelRewriter
    answering: Answers
    meter: Meter
    usage_by_collection: UsageByCollection
    usage_by_channel: UsageByChannel
    doorbell: Doorbell
    delete: Callable[[str, str, frozenset[str] | None], Deletion]
    settle: Callable[[str], object] = lambda _: None
    remove_files: Callable[[], object] = lambda: None
    tokens: Tokens | None = None
    model_costs: bool = False
    require_index: Callable[[], None] = lambda: None
    index_state: Callable[[], IndexState] = lambda: IndexState(1)
    index_copies: Callable[[], Sequence[CopiesState]] = tuple
    notices: Callable[[], Mapping[str, str]] = dict
    ping: Callable[[], None] = lambda: None
    ballast: Ballast | None = None
    accepting: bool = True

    @property
    def keys(self) -> ApiKeys:
        return self.identities.keys

    def identify(self, presented: str) -> Principal | None:
        """Return who holds this key or token; None if it is not valid. Raises what keeps a token from being checked."""
        found = self.keys.check(presented)
        if found is None and self.tokens is not None and presented.count(".") == _DOTS_OF_A_TOKEN:
            return self.tokens.check(presented)
        return found

    def looks(self) -> dict[str, Callable[[], str]]:
        """Return what finds the state of each part; a part's trouble is for the log, and its state for everybody."""
        return {
            "catalog": lambda: self._state("catalog", self.ping),
            "search": lambda: self._state("search", self.require_index),
            "copies": self._copies,
            "disk": lambda: self._state("disk", self.blobs.require_room),
            "language_model": lambda: str(self.answering.state()["state"]),
            "upkeep": self._upkeep,
        }

    def _copies(self) -> str:
        """Say whether shards of the index lack copies; `leadline doctor` and the log say which."""
        found: Sequence[CopiesState] = ()

        def look() -> None:
            nonlocal found
            found = self.index_copies()

        state = self._state("copies", look)
        return readiness_of(found) if state == "ready" else state

    def _upkeep(self) -> str:
        """Say whether upkeep has stopped; `leadline doctor` and the log say why."""
        found: Mapping[str, str] = {}

        def look() -> None:
            nonlocal found
            found = self.notices()

        state = self._state("upkeep", look)
        return "stopped" if found else state

    def _state(self, part: str, require: Callable[[], None]) -> str:
        try:
            require()
        except IndexLostError as error:
            log.warning("a part is lost", part=part, code=error.code, detail=str(error))
            return "lost"
        except StorageFullError as error:
            log.warning("the disk is full", part=part, detail=str(error))
            return "full"
        except LeadlineError as error:
            log.warning("a part is not ready", part=part, code=error.code, detail=str(error))
            # guard: health-without-details
            return "unavailable"
        return "ready"


def readiness_of(copies: Sequence[CopiesState]) -> str:
    """Return the state of the part `copies`: `none` for an index in one place, `degraded` while shards lack copies."""
    if not copies:
        return "none"
    return "degraded" if any(each.short for each in copies) else "ready"
