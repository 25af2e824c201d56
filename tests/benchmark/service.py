"""A whole service with a benchmark's documents in it, asked in its own process."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.status import Status
from rlm.retrieving import retriever

from api.cli.ask import wait_for_language_model
from api.cli.client import Client, ServiceError
from api.cli.environment import read_settings
from api.cli.fetching import fetch_needed
from api.cli.ingest import find_files
from api.cli.ingest import run as upload
from api.cli.private_service import private
from api.embedded import open_embedded
from api.language_model import open_language_model
from api.services import DEFAULT_TENANT, Services
from api.settings import Settings
from ingest.errors import LeadlineError
from retrieval.models.store import ModelStore
from rlm.answering import LanguageModel
from rlm.answers import Answer, AnswerStatus
from rlm.events import Completed, Event, Reading, Working
from rlm.llm.budgets import Limits
from rlm.requests import AnswerScope, StrategyName, Wanted
from tests.benchmark.tasks.baseline import RetrieveThenRead
from tests.benchmark.tasks.corpus import BenchmarkFolder, GoldSpan, Question
from tests.benchmark.tasks.results import Outcome

STRATEGIES = (*(name.value for name in StrategyName), RetrieveThenRead.name)
_COLLECTION = "benchmark"

Stream = Callable[[str, Callable[[], bool]], Iterator[Event]]


@dataclass(frozen=True)
class BenchmarkService:
    """A running service; `names` are the benchmark's documents by their ids there."""

    services: Services
    language_model: LanguageModel
    names: Mapping[str, str]


class Asker:
    """Asks one service within the benchmark's collection by a checked strategy; keeps what was read and cited."""

    def __init__(
        self,
        service: BenchmarkService,
        strategy: str,
        *,
        budget: Limits | None = None,
        deadline_seconds: float | None = None,
        every_record: bool = False,
    ) -> None:
        self._names = service.names
        self._deadline_seconds = deadline_seconds
        self._stream = _stream(service, strategy, budget, every_record)

    def ask(self, question: Question, watch: Callable[[str], None] = lambda _: None) -> Outcome:
        """What became of one question; an error of the model or the service is an outcome too."""
        begun = time.monotonic()
        limit = self._deadline_seconds

        def late() -> bool:
            return limit is not None and time.monotonic() - begun > limit

        read: list[GoldSpan] = []
        answer: Answer | None = None
        error = f"There was no answer after {limit} s."
        try:
            for event in self._stream(question.text, late):
                read += self._read(event)
                if isinstance(event, Working):
                    watch(f"{event.step}: {event.done:,} of {event.total:,}")
                answer = event.answer if isinstance(event, Completed) else answer
        except LeadlineError as raised:
            error = error if late() else f"{raised.code}: {raised.detail}"
        seconds = time.monotonic() - begun
        if answer is None:
            return Outcome(question.id, error=error, seconds=seconds)
        return replace(self._outcome(answer, read), id=question.id, seconds=seconds)

    def _read(self, event: Event) -> list[GoldSpan]:
        """Spans that a model is shown, as far as events tell."""
        passages = event.passages if isinstance(event, Reading) else ()
        return [GoldSpan(self._names[each.document_id], each.start, each.end) for each in passages]

    def _outcome(self, answer: Answer, read: list[GoldSpan]) -> Outcome:
        covered = answer.coverage
        cited = [GoldSpan(self._names[each.document_id], each.start, each.end) for each in answer.citations]
        return Outcome(
            id="",
            answer=answer.text,
            declined=True if answer.status is AnswerStatus.NOT_FOUND else None,
            status=answer.status,
            read=read or None,
            cited=None if answer.strategy == RetrieveThenRead.name else cited,
            calls=answer.usage.calls,
            prompt_tokens=answer.usage.prompt_tokens,
            completion_tokens=answer.usage.completion_tokens,
            tokens_in_scope=covered.tokens_in_scope if covered else None,
            tokens_read=covered.tokens_read + covered.tokens_inferred if covered else None,
        )


def _stream(service: BenchmarkService, strategy: str, budget: Limits | None, every_record: bool) -> Stream:
    scope = AnswerScope(DEFAULT_TENANT, collections=(_COLLECTION,))
    if strategy != RetrieveThenRead.name:
        wanted = Wanted(StrategyName(strategy), confirm=True, budget=budget, every_record=every_record)
        answering = service.services.answering
        return lambda question, cancelled: answering.stream(question, scope, wanted=wanted, cancelled=cancelled)
    model = service.language_model.acquire()
    assert model is not None, "check_strategy comes first"
    reader = RetrieveThenRead(retriever(service.services.searcher, scope), model.chat, model.profile)
    return lambda question, cancelled: reader.stream(question, cancelled=cancelled)


def check_strategy(name: str) -> None:
    """Raises `ServiceError` for a strategy that this version does not have, or not without a language model."""
    if name not in STRATEGIES:
        raise ServiceError(f"There is no strategy {name!r}.", hint=f"There are {', '.join(STRATEGIES)}.")
    if name == RetrieveThenRead.name and read_settings().llm == "none":
        raise ServiceError(
            f"The strategy {name!r} needs a language model.", hint="Set LEADLINE_LLM to `local` or to a server."
        )


@contextmanager
def serving(folder: BenchmarkFolder, *, wait: str, console: Console) -> Iterator[BenchmarkService]:
    """A service on a data folder that is gone afterwards, with the benchmark's documents searchable or ready."""
    settings = read_settings()
    fetch_needed(settings)
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as home:
        own = Settings(**{**settings.model_dump(), "home": Path(home)})
        language_model = open_language_model(own, ModelStore(own.models))
        with open_embedded(own, language_model=language_model) as services:
            with private(services) as client, console.status("Uploading …") as status:
                _upload(client, folder, wait, status)
                wait_for_language_model(client, status)
            yield BenchmarkService(services, language_model, _names(services))


def _upload(client: Client, folder: BenchmarkFolder, wait: str, status: Status) -> None:
    report = upload(
        client,
        list(find_files([folder.documents])),
        collection=_COLLECTION,
        wait=wait,
        watch=lambda stage, done, total, _: status.update(f"Until {stage}: {done:,} of {total:,}"),
    )
    for failure in (*report.rejected, *report.failed):
        raise ServiceError(f"{failure['name']} was not taken: {failure['detail']}", hint=failure["hint"])


def _names(services: Services) -> dict[str, str]:
    """The names of all documents by their ids."""
    names: dict[str, str] = {}
    after = 0
    while page := services.catalog.documents(DEFAULT_TENANT, collection=_COLLECTION, after=after, limit=500):
        names.update((document.id, document.name) for document in page)
        after = page[-1].sequence
    return names
