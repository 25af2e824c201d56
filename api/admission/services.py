"""The services that REST, MCP, Slack and the portal use, independent of the deployment."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog
from pydantic_settings import BaseSettings

from api.admission.meter import Meter
from api.settings.settings import Settings
from ingest.file_intake import FileIntake
from ingest.intake import Intake
from ingest.resumable import ResumableUploads
from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.accounts.provider_sessions import Logout, ProviderTokens
from ingest.storage.accounts.records import Principal
from ingest.storage.ballast import Ballast
from ingest.storage.build import (
    AccountStores,
    AnswerStores,
    ContentStores,
    DocumentStores,
    EventStores,
    SlackStores,
    SourceStores,
    Stores,
    UsageStores,
)
from ingest.storage.documents.records import Deletion
from ingest.storage.errors import LeadlineError, StorageFullError
from ingest.storage.generations.records import IndexState, ReplicaStatus
from ingest.storage.idempotency import IdempotencyKeys
from ingest.storage.jobs.jobs import Jobs
from retrieval.encoders.port import Embedder
from retrieval.errors import IndexLostError
from retrieval.search.query_cache import CachedSearcher
from rlm.describing import ModelDescriber
from rlm.events import Event
from rlm.requests import AnswerRequest
from rlm.rewriting import ModelRewriter
from rlm.runs.port import Durability
from rlm.suggesting import ModelSuggester
from workers.enqueue import WorkNotifier

log = structlog.get_logger(__name__)

DEFAULT_TENANT = "default"
_TOKEN_DOTS = 2  # Number of dots in a token (header.payload.signature); a key has no dots.


class AnswerService(Protocol):
    """Answers questions; implemented by `rlm.answering.AnswerPipeline`."""

    def get_state(self) -> Mapping[str, Any]:
        """Return the state of the language model, for display."""

    def stream(
        self, request: AnswerRequest, *, cancelled: Callable[[], bool], durability: Durability
    ) -> Iterator[Event]:
        """Yield the answer's events, ending with `Completed`. Raises immediately if the question is rejected."""


@dataclass(frozen=True)
class VerifiedToken:
    """A token of an identity provider that is valid here: the caller whom it identifies, and its claims."""

    token: str
    principal: Principal
    claims: Mapping[str, Any]

    def to_tokens(self, refresh_token: object) -> ProviderTokens:
        """Return what a session keeps of an identity token and the refresh token that came with it, if one came."""
        session = self.claims.get("sid")
        return ProviderTokens(
            subject=str(self.claims["sub"]),
            session=session if isinstance(session, str) else None,
            identity_token=self.token,
            refresh_token=refresh_token if isinstance(refresh_token, str) and refresh_token else None,
        )


class TokenChecker(Protocol):
    """Checks bearer tokens of an identity provider; implemented by `api.accounts.oidc.OidcTokenChecker`."""

    def check_access_token(self, token: str) -> Principal | None: ...

    def check_identity_token(self, token: str, nonce: str) -> VerifiedToken | None: ...

    def check_refreshed_token(self, token: str, subject: str) -> VerifiedToken | None: ...

    def check_logout_token(self, token: str) -> Logout | None: ...


class PageRenderer(Protocol):
    """Renders pages of files; implemented by `api.documents.page_images.PageImageRenderer`."""

    def render_page(self, path: Path, media_type: str, page: int, width: int, *, name: str) -> bytes: ...


@dataclass(frozen=True)
class Admission:
    """The components that check a request before it is served: tokens, quotas, idempotency and disk space.

    `ballast` is disk space in the data folder that is reserved for deletions. It is None in a cluster.
    """

    idempotency: IdempotencyKeys
    meter: Meter
    tokens: TokenChecker | None = None
    ballast: Ballast | None = None


@dataclass(frozen=True)
class QueryServices:
    """The components that search, rewrite queries and answer questions.

    `model_costs` is true if the language model has a price above 0. `describer` describes documents for their cards.
    `open_encoder` returns the encoder in use, which is closed with the service. `suggester` suggests questions; it is
    None if suggestions are turned off.
    """

    searcher: CachedSearcher
    rewriter: ModelRewriter
    answering: AnswerService
    open_encoder: Callable[[], Embedder]
    model_costs: bool = False
    describer: ModelDescriber | None = None
    suggester: ModelSuggester | None = None


@dataclass(frozen=True)
class DocumentServices:
    """The components that receive, render, change and delete documents and files.

    `delete` removes a document from the catalog, the index and the blob store, and returns the receipt. `settle`
    updates a document's readers in the index after they have changed. `remove_files` removes the bytes of deleted
    files.
    """

    intake: Intake
    file_intake: FileIntake
    uploads: ResumableUploads
    page_images: PageRenderer
    doorbell: WorkNotifier
    delete: Callable[[str, str, frozenset[str] | None], Deletion]
    settle: Callable[[str], object] = lambda _: None
    remove_files: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Health:
    """Functions that check the catalog, the index and background maintenance.

    `ping` raises a `LeadlineError` if the catalog does not respond, and `require_index` raises one if searches cannot
    work. `index_state` returns the result of the last check of the active index. `index_copies` returns the state of
    the shard replicas of indexes on several nodes. `notices` returns the problems that need an administrator's
    attention.
    """

    ping: Callable[[], None] = lambda: None
    require_index: Callable[[], None] = lambda: None
    index_state: Callable[[], IndexState] = lambda: IndexState(1)
    index_copies: Callable[[], Sequence[ReplicaStatus]] = tuple
    notices: Callable[[], Mapping[str, str]] = dict


@dataclass
class Services:
    """All components of the service: the stores that it shares with the workers, and components that only the API has.

    `accounts` and `slack` have their own database connections, so that they never wait behind other work. `accepting`
    becomes false when the process starts to shut down. `more_settings` are the settings of a cluster.
    """

    settings: Settings
    stores: Stores
    accounts: AccountStores
    slack: SlackStores
    admission: Admission
    asking: QueryServices
    work: DocumentServices
    health: Health
    accepting: bool = True
    more_settings: Sequence[BaseSettings] = ()

    @property
    def documents(self) -> DocumentStores:
        return self.stores.documents

    @property
    def contents(self) -> ContentStores:
        return self.stores.contents

    @property
    def answers(self) -> AnswerStores:
        return self.stores.answers

    @property
    def jobs(self) -> Jobs:
        return self.stores.jobs

    @property
    def events(self) -> EventStores:
        return self.stores.events

    @property
    def sources(self) -> SourceStores:
        return self.stores.sources

    @property
    def usage(self) -> UsageStores:
        return self.stores.usage

    @property
    def keys(self) -> ApiKeys:
        return self.accounts.keys

    @property
    def computes_searches(self) -> bool:
        """True if searches wait for no server: the index, the encoder and the reranker are part of this process."""
        models = (self.settings.encoder or "", self.settings.reranker)
        return not self.more_settings and not any("://" in each for each in models)

    def identify_caller(self, credential: str) -> Principal | None:
        """Return the principal of the key or token `credential`, or None if it is not valid.

        Raises `IdentityProviderUnavailableError` if a token cannot be checked.
        """
        found = self.keys.authenticate(credential)
        if found is None and self.admission.tokens is not None and credential.count(".") == _TOKEN_DOTS:
            return self.admission.tokens.check_access_token(credential)
        return found

    def build_health_probes(self) -> dict[str, Callable[[], str]]:
        """Return a health probe for each component. A probe returns a state and only logs failure details."""
        return {
            "catalog": lambda: self._check_component("catalog", self.health.ping),
            "search": lambda: self._check_component("search", self.health.require_index),
            "copies": self._check_replicas,
            "files": lambda: self._check_component("files", self.contents.blobs.require_response),
            "disk": lambda: self._check_component("disk", self.contents.blobs.require_free_space),
            "language_model": lambda: str(self.asking.answering.get_state()["state"]),
            "upkeep": self._check_maintenance,
        }

    def _check_replicas(self) -> str:
        """Return the state of the index's shard replicas. `leadline doctor` and the log name incomplete shards."""
        found: Sequence[ReplicaStatus] = ()

        def load_replicas() -> None:
            nonlocal found
            found = self.health.index_copies()

        state = self._check_component("copies", load_replicas)
        return summarize_replicas(found) if state == "ready" else state

    def _check_maintenance(self) -> str:
        """Return the state of background maintenance. `leadline doctor` and the log say why it stopped."""
        found: Mapping[str, str] = {}

        def load_notices() -> None:
            nonlocal found
            found = self.health.notices()

        state = self._check_component("upkeep", load_notices)
        return "stopped" if found else state

    def _check_component(self, component: str, check: Callable[[], None]) -> str:
        try:
            check()
        except IndexLostError as error:
            log.warning("part lost", part=component, code=error.code, detail=str(error))
            return "lost"
        except StorageFullError as error:
            log.warning("disk full", part=component, detail=str(error))
            return "full"
        except LeadlineError as error:
            log.warning("part not ready", part=component, code=error.code, detail=str(error))
            # guard: health-without-details
            return "unavailable"
        return "ready"


def summarize_replicas(replicas: Sequence[ReplicaStatus]) -> str:
    """Return the state of the shard replicas: `none` for an index on a single node, `degraded` if some are missing."""
    if not replicas:
        return "none"
    return "degraded" if any(each.short for each in replicas) else "ready"
