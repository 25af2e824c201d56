"""Loads the corpus of judged questions into a separate service, which chunks and embeds it as usual."""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.status import Status

from api.admission.services import DEFAULT_TENANT, Services
from api.build.embedded import open_embedded_services
from api.cli.console import Console
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.ingest import show_batch_progress
from api.cli.private_service import open_services_client
from api.client import Client, ServiceError
from api.settings.settings import Settings
from retrieval.evaluation.figures import FigureQuestions
from retrieval.evaluation.judged import CorpusEntry, JudgedFolder
from retrieval.evaluation.passages import LocatedQuestions

_UPLOADS_AT_ONCE = 4
_COLLECTION = "default"
_OWNERS_FILE = "judged.json"
_MARKDOWN_MARKS = "# \n"
# A question set that refers to documents in separate files.
FileQuestions = LocatedQuestions | FigureQuestions
# Deadline of the reranker in milliseconds. A measurement can wait longer for the reranker than a user can.
_RERANK_MS = 60_000


@dataclass(frozen=True)
class JudgedCollection:
    """A service that contains the corpus.

    `owners` maps each document id to corpus ids or file names. There are several if their texts are identical, because
    identical texts are stored as one document. `indexing_seconds` is the time from the first upload to the last vector,
    or None if the index already existed.
    """

    services: Services
    client: Client
    owners: Mapping[str, Sequence[str]]
    indexing_seconds: float | None

    def load_version_ids(self) -> dict[str, str]:
        """Load the id of each document's active version, keyed by document id."""
        every = self.services.documents.catalog.list_active_documents(DEFAULT_TENANT, limit=len(self.owners))
        return {document.document_id: document.version_id for document in every}

    def load_texts(self) -> dict[str, str]:
        """Load each document's normalized text, keyed by corpus id or file name."""
        return {
            owner: self.services.contents.texts.read(version)
            for document, version in self.load_version_ids().items()
            for owner in self.owners[document]
        }


@contextmanager
def open_judged_collection(
    question_set: JudgedFolder | FileQuestions, home: Path | None, console: Console
) -> Iterator[JudgedCollection]:
    """Load the corpus into a service without a language model, in its own data folder.

    If `home` is None, the data folder is temporary. Otherwise, later calls reuse the index. Raises `ServiceError` if
    the folder contains other documents.
    """
    settings = read_settings(llm="none", query_cache_bytes=0)
    fetch_missing_model_files(settings)
    with ExitStack() as stack:
        if home is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-eval-")))
        corpus = _compute_corpus_digest(
            question_set.documents if isinstance(question_set, FileQuestions) else {"corpus": question_set.corpus_file}
        )
        owners = _load_owners(home, corpus)
        deadline = max(settings.rerank_deadline_ms, _RERANK_MS)
        own_settings = Settings(**{**settings.model_dump(), "home": home, "rerank_deadline_ms": deadline})
        services = stack.enter_context(open_embedded_services(own_settings))
        client = stack.enter_context(open_services_client(services))
        seconds = None
        if owners is None:
            _save_owners(
                home, corpus, None
            )  # Mark the folder as created by this command, so that a later run can continue an interrupted one.
            started_at = time.perf_counter()
            owners = _upload_corpus(client, question_set, console)
            seconds = time.perf_counter() - started_at
            _save_owners(home, corpus, owners)
        yield JudgedCollection(services, client, owners, seconds)


def _load_owners(home: Path, corpus_digest: str) -> dict[str, list[str]] | None:
    note = home / _OWNERS_FILE
    if note.is_file():
        known = json.loads(note.read_text())
        if known["corpus"] == corpus_digest:
            owners: dict[str, list[str]] | None = known["owners"]
            return owners
    elif not home.exists() or not any(home.iterdir()):
        return None
    raise ServiceError(f"{home} contains documents that are not in this corpus.", hint="Use a new or empty folder.")


def _save_owners(home: Path, corpus_digest: str, owners: Mapping[str, Sequence[str]] | None) -> None:
    (home / _OWNERS_FILE).write_text(json.dumps({"corpus": corpus_digest, "owners": owners}))


def _compute_corpus_digest(files: Mapping[str, Path]) -> str:
    """Compute a digest of all files' contents. For a single file, it is the file's SHA-256."""
    digests = []
    for path in files.values():
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _upload_corpus(
    client: Client, question_set: JudgedFolder | FileQuestions, console: Console
) -> dict[str, list[str]]:
    owners: dict[str, list[str]] = {}
    empty = 0
    with tempfile.TemporaryDirectory() as scratch, console.status("Uploading …") as status:
        if isinstance(question_set, FileQuestions):
            files, name = dict(question_set.documents), question_set.source.name
        else:
            files, empty = _write_corpus_files(question_set, Path(scratch))
            name = question_set.folder.name
        batch = client.post("/v1/batches", {"name": name})["id"]
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
            sent = pool.map(lambda entry: (entry[0], _upload_file(client, batch, *entry)), files.items())
            for identifier, document in sent:
                owners.setdefault(document, []).append(identifier)
        _wait_for_index(client, batch, status)
    console.print(f"{len(owners):,} documents; skipped {empty} empty texts.", highlight=False)
    return owners


def _write_corpus_files(judged_folder: JudgedFolder, folder: Path) -> tuple[dict[str, Path], int]:
    """Write each corpus text to a file. Returns the files keyed by corpus id, and the number of empty texts."""
    files: dict[str, Path] = {}
    empty = 0
    for number, entry in enumerate(judged_folder.iter_corpus()):
        text = _format_entry_as_markdown(entry)
        if not text.strip(_MARKDOWN_MARKS):
            empty += 1
            continue
        files[entry.id] = folder / f"{number}.md"
        files[entry.id].write_text(text)
    return files, empty


def _format_entry_as_markdown(entry: CorpusEntry) -> str:
    return f"# {entry.title}\n\n{entry.text}\n" if entry.title else f"{entry.text}\n"


def _wait_for_index(client: Client, batch_id: str, status: Status) -> None:
    client.post(f"/v1/batches/{batch_id}/close", {})
    status.update("Indexing …")
    for now in client.follow(f"/v1/batches/{batch_id}/events"):
        show_batch_progress(now, lambda stage, done, total, _: status.update(f"Until {stage}: {done:,} of {total:,}"))


def _upload_file(client: Client, batch_id: str, corpus_id: str, path: Path) -> str:
    return client.upload(path, collection=_COLLECTION, batch=batch_id).id
