"""A whole service with a task's documents in it, asked in its own process."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from api.admission.services import DEFAULT_TENANT, Services
from api.build.embedded import open_embedded_services
from api.cli.client import iter_language_model_states
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.ingest import iter_files, upload_batch
from api.cli.private_service import open_services_client
from api.client import ServiceError
from api.settings.settings import Settings
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.errors import LeadlineError
from retrieval.encoders.port import HashingEmbedder
from rlm.answers import Answer, AnswerStatus
from rlm.events import Completed, Working
from rlm.llm.budgets import Limits
from rlm.requests import AnswerOptions, AnswerRequest, AnswerScope, StrategyName
from rlm.runs.port import NOT_DURABLE
from tests.benchmark.results import Outcome
from tests.benchmark.tasks.folder import GoldSpan, Question, TaskFolder
from tests.support.oracle import MODEL, PROFILE, oracle_server

_COLLECTION = "benchmark"

Watch = Callable[[str], None]


@dataclass(frozen=True)
class AskedService:
    """A running service that answers within the task's documents; `names` are their names by their ids there."""

    services: Services
    names: Mapping[str, str]

    def ask(
        self, question: Question, strategy: StrategyName, *, limits: Limits, seconds: float | None, watch: Watch
    ) -> Outcome:
        """What became of one question; an error of the model or the service is an outcome too."""
        begun = time.monotonic()
        wanted = AnswerOptions(strategy, confirm=True, budget=limits, every_record=True)
        request = AnswerRequest(question.text, AnswerScope(DEFAULT_TENANT, (_COLLECTION,)), wanted=wanted)
        answer, error = None, f"There was no answer after {seconds} s."
        try:
            answering = self.services.asking.answering
            for event in answering.stream(
                request,
                cancelled=lambda: seconds is not None and time.monotonic() - begun > seconds,
                durability=NOT_DURABLE,
            ):
                if isinstance(event, Working):
                    watch(f"{question.id}: {event.step}, {event.done:,} of {event.total:,}")
                answer = event.answer if isinstance(event, Completed) else answer
        except LeadlineError as raised:
            error = f"{raised.code}: {raised.detail}"
        if answer is None:
            return Outcome(error=error, seconds=time.monotonic() - begun)
        return self._outcome(answer, time.monotonic() - begun)

    def _outcome(self, answer: Answer, seconds: float) -> Outcome:
        covered = answer.coverage
        return Outcome(
            answer=answer.text,
            declined=True if answer.status is AnswerStatus.NOT_FOUND else None,
            cited=[
                GoldSpan(self.names[citation.document_id], quote.start, quote.end)
                for sentence in answer.sentences
                for quote in sentence.quotes
                for citation in answer.citations
                if citation.number == quote.number
            ],
            calls=answer.usage.calls,
            prompt_tokens=answer.usage.prompt_tokens,
            completion_tokens=answer.usage.completion_tokens,
            seconds=seconds,
            tokens_in_scope=covered.tokens_in_scope if covered else 0,
            tokens_read=covered.tokens_read if covered else 0,
        )


@contextmanager
def serving(folder: TaskFolder, *, oracle: bool, wait: str, watch: Watch) -> Iterator[AskedService]:
    """A service on a data folder that is gone afterwards, with the task's documents `searchable` or `ready`.

    Its model is an oracle over the folder, or else the one that `LEADLINE_LLM` names. An oracle reads everything, so
    that its documents get cheap vectors.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-bench-")))
        settings = read_settings()
        if oracle:
            server = stack.enter_context(oracle_server(folder))
            (home / "profiles.toml").write_text(PROFILE, "utf-8")
            settings = read_settings(llm=f"{server.url} {MODEL}", model_profiles=home / "profiles.toml")
        else:
            fetch_missing_model_files(settings)
        own = Settings(**{**settings.model_dump(), "home": home / "data"})
        services = stack.enter_context(open_embedded_services(own, encoder=HashingEmbedder() if oracle else None))
        with open_services_client(services) as client:
            report = upload_batch(
                client,
                list(iter_files([folder.documents])),
                collection=_COLLECTION,
                target_state=wait,
                on_progress=lambda stage, done, total, _: watch(f"Until {stage}: {done:,} of {total:,}"),
            )
            for failure in (*report.rejected, *report.failed):
                raise ServiceError(f"{failure['name']} was not taken: {failure['detail']}", hint=failure["hint"])
            for state in iter_language_model_states(client):
                watch(f"The language model is {state['state']}.")
        yield AskedService(services, _names(services))


def _names(services: Services) -> dict[str, str]:
    """The names of all documents by their ids."""
    names: dict[str, str] = {}
    after = 0
    while page := services.documents.catalog.list_documents(
        DEFAULT_TENANT, DocumentFilter(collection=_COLLECTION), after=after, limit=500
    ):
        names.update((document.id, document.name) for document in page)
        after = page[-1].sequence
    return names
