"""The service at sizes that take minutes: `python -m tests.benchmark.scale batch`, and `words`."""

import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import open_catalog, open_embedded_services
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.ingest import IngestReport, iter_files, upload_batch
from api.settings.settings import Settings
from api.sizing.constants import load_constants
from api.sizing.service import Workload, plan_deployment
from ingest.storage.queue.records import JobKind
from rlm.corpus.corpus import open_corpus
from rlm.corpus.grep import count_matches
from rlm.requests import AnswerScope
from tests.benchmark.figures import AsJson, print_figures
from tests.benchmark.scale_service import Served, up
from tests.benchmark.sizing import disk_bytes

app = typer.Typer(help="Measure the service at sizes that take minutes.", no_args_is_help=True)

_QUERY_WORDS = 6
_FILE_CHARACTERS = 1_000_000
_GREP_SECONDS = 3_600.0
# Three of these in a row are a word that stands in no book, and that no stemmer cuts.
_SYLLABLES = [first + second for first in "bdfgklmnprtvz" for second in "aou"]
_PLANTED = "In the year of the comet the archivist {} of {} hid nine brass keys below the mill at {}."

Data = Annotated[Path, typer.Option(envvar="LEADLINE_DATA", help="The folder of data; its `books` are cut to pieces.")]
Searches = Annotated[int, typer.Option(help="How many searches afterwards.", min=10)]
Seed = Annotated[int, typer.Option(help="Chooses lengths, order and queries.")]


@app.command()
def batch(
    data: Data,
    documents: Annotated[int, typer.Option(help="How many documents.", min=10)] = 10_000,
    tokens: Annotated[int, typer.Option(help="Tokens of a document, on average.", min=20)] = 500,
    sample: Annotated[int, typer.Option(help="How many documents are searched by a word of their own.")] = 500,
    searches: Searches = 200,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Upload one batch of documents to `leadline up`, search meanwhile, and compare with what `leadline plan` says.

    Documents are consecutive pages of books, each with a word of its own. Service and client share this machine.
    """
    with _folders() as (files, home):
        chosen = random.Random(seed)
        pages = _write_pages(files, _paragraphs(data), documents, tokens, chosen)
        queries = _queries(pages, max(1_000, searches), chosen)
        with up(home) as served:
            before, cpu = served.measured.resident_bytes(), served.measured.processor_seconds()
            with served.watched(queries, "meanwhile"):
                report, accepted = _upload(served, files, "ready")
            cpu, after = served.measured.processor_seconds() - cpu, served.measured.resident_bytes()
            disk = sum(disk_bytes(home).values())
            for query in queries[:searches]:
                served.search(query, "after")
            figures = {
                **_taken(report, accepted),
                **_replies(served, before, after),
                **_planned(report, served, cpu, max(after, before), disk),
                **_found(served, chosen.sample(range(documents), min(sample, documents))),
            }
    print_figures(figures, as_json)


@app.command()
def words(
    data: Data,
    tokens: Annotated[int, typer.Option(help="Tokens of all documents.", min=100_000)] = 100_000_000,
    planted: Annotated[int, typer.Option(help="Sentences that are planted, and looked for afterwards.")] = 50,
    searches: Searches = 200,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Upload text to `leadline up` while embedding is paused, so that words alone are indexed; search and grep it.

    Documents of a million characters are made of the books' paragraphs in another order each time.
    """
    with _folders() as (files, home):
        chosen = random.Random(seed)
        texts = _write_shuffled(files, _paragraphs(data), tokens, planted, chosen)
        queries = _queries(texts, max(1_000, searches), chosen)
        with up(home) as served:
            with open_catalog(home) as opened:  # as `leadline queue pause embed` does
                opened.jobs.pause_kind(JobKind.EMBED)
            before, cpu = served.measured.resident_bytes(), served.measured.processor_seconds()
            with served.watched(queries, "meanwhile", mode="bm25"):
                report, accepted = _upload(served, files, "searchable")
            cpu, after = served.measured.processor_seconds() - cpu, served.measured.resident_bytes()
            for query in queries[:searches]:
                served.search(query, "after", mode="bm25")
            first = sum(_holds_first(served, _sentence(number)) for number in range(planted))
            figures = {**_taken(report, accepted), **_replies(served, before, after), "processor_seconds": round(cpu)}
        seconds = report.searchable_seconds or 1.0
        figures |= {
            "tokens": tokens,
            "tokens_per_second": round(tokens / seconds),
            **{f"{part}_mb": round(size / 1e6) for part, size in disk_bytes(home).items()},
            "planted": planted,
            "planted_found_first": first,
            **_grepped(home, planted),
        }
    print_figures(figures, as_json)


@contextmanager
def _folders() -> Iterator[tuple[Path, Path]]:
    """Yield a folder for files and one for data, both gone at the end; models are fetched first."""
    fetch_missing_model_files(read_settings(llm="none", reranker="none"))
    with tempfile.TemporaryDirectory(prefix="leadline-scale-") as folder:
        files = Path(folder) / "files"
        files.mkdir()
        yield files, Path(folder) / "home"


def _paragraphs(data: Path) -> list[str]:
    books = sorted((data / "books").glob("*.md"))
    found = [part for book in books for part in book.read_text("utf-8").split("\n\n") if part.strip()]
    if not found:
        raise typer.BadParameter(f"{data / 'books'} has no books in Markdown", param_hint="--data")
    return found


def _write_pages(
    folder: Path, paragraphs: Sequence[str], documents: int, tokens: int, chosen: random.Random
) -> list[Path]:
    """Write consecutive pages of about so many tokens, each of which ends with a word of its own."""
    characters = tokens * load_constants()["token_bytes"]
    following = cycle(paragraphs)
    written = []
    for number in range(documents):
        wanted = characters * chosen.lognormvariate(0, 0.5) / 1.133  # the mean of that distribution
        parts, length = [f"# Page {number}"], 0
        while not length or length + characters / 10 < wanted:
            parts.append(next(following))
            length += len(parts[-1])
        written.append(folder / f"page-{number:05}.md")
        written[-1].write_text("\n\n".join([*parts, f"This page is called {_mark(number)}.", ""]), "utf-8")
    return written


def _write_shuffled(
    folder: Path, paragraphs: Sequence[str], tokens: int, planted: int, chosen: random.Random
) -> list[Path]:
    """Write files of shuffled paragraphs; sentences are planted in places as far from each other as can be."""
    left = int(tokens * load_constants()["token_bytes"])
    number, every = 0, left / (planted + 1)
    passed, written = 0, list[Path]()
    source = _endlessly_shuffled(paragraphs, chosen)
    while left > 0:
        parts, length = [f"# Volume {len(written)}"], 0
        while length < min(_FILE_CHARACTERS, left):
            if number < planted and passed + length > every * (number + 1):
                parts.append(_sentence(number))
                number += 1
            parts.append(next(source))
            length += len(parts[-1]) + 2
        left, passed = left - length, passed + length
        written.append(folder / f"volume-{len(written):04}.md")
        written[-1].write_text("\n\n".join([*parts, ""]), "utf-8")
    return written


def _endlessly_shuffled(paragraphs: Sequence[str], chosen: random.Random) -> Iterator[str]:
    while True:
        yield from chosen.sample(paragraphs, len(paragraphs))


def _mark(number: int) -> str:
    """Return a word that stands for a number."""
    base = len(_SYLLABLES)
    return "quo" + "".join(_SYLLABLES[number // base**place % base] for place in range(3))


def _sentence(number: int) -> str:
    return _PLANTED.format(*(_mark(3 * number + place).capitalize() for place in range(3)))


def _queries(files: Sequence[Path], count: int, chosen: random.Random) -> list[str]:
    """Return runs of words out of the files, each from another place."""
    found: list[str] = []
    while len(found) < count:
        text = chosen.choice(files).read_text("utf-8")
        at = chosen.randrange(max(1, len(text) - 400))
        run_of_words = text[at : at + 400].split()[1:-1]
        found += [" ".join(run_of_words[:_QUERY_WORDS])] if len(run_of_words) >= _QUERY_WORDS else []
    return found


def _upload(served: Served, files: Path, wait: str) -> tuple[IngestReport, float]:
    """Upload everything as one batch; return the report, and the seconds until the last file was accepted."""
    begun, accepted = time.monotonic(), 0.0
    with Console(stderr=True).status("Uploading …") as status:

        def watch(stage: str, done: int, total: int, _: str) -> None:
            nonlocal accepted
            if stage == "uploading":
                accepted = time.monotonic() - begun
            status.update(f"{stage}: {done:,} of {total:,}")

        report = upload_batch(
            served.client, list(iter_files([files])), collection="default", target_state=wait, on_progress=watch
        )
    return report, accepted


def _taken(report: IngestReport, accepted: float) -> dict[str, Any]:
    seconds = report.ready_seconds or report.searchable_seconds or 1.0
    return {
        "documents": report.files,
        "uploaded": report.uploaded,
        "refused": len(report.rejected),
        "failed": len(report.failed),
        "chunks": report.chunks,
        "accepted_seconds": round(accepted, 1),
        "searchable_seconds": report.searchable_seconds,
        "ready_seconds": report.ready_seconds,
        "documents_per_second": round(report.files / seconds, 1),
    }


def _replies(served: Served, before: int, after: int) -> dict[str, Any]:
    measured = served.measured
    return {
        "replies": ", ".join(f"{status}: {count:,}" for status, count in sorted(measured.statuses.items())),
        "memory_mb_before": round(before / 1e6),
        "memory_mb_most": round(measured.most_bytes / 1e6),
        "memory_mb_after": round(after / 1e6),
        "children_mb_most": round(measured.most_child_bytes / 1e6),
        **measured.percentiles("meanwhile"),
        **measured.percentiles("after"),
    }


def _planned(report: IngestReport, served: Served, cpu: float, memory: int, disk: int) -> dict[str, Any]:
    """Return what `leadline plan` says of as many documents and tokens, beside what they took."""
    constants = load_constants()
    cores = os.cpu_count() or 1
    wanted = Workload(report.files, report.tokens / report.files, cores=cores)
    needs, corpus = (plan := plan_deployment(wanted, None, constants)).needs, plan.corpus
    searching = len(served.measured.search_ms["meanwhile"]) * constants["api_seconds_of_a_question"]
    figures: dict[str, Any] = {"tokens": report.tokens}
    for name, planned, measured in (
        ("chunks", corpus.chunks, report.chunks),
        ("processor_seconds", needs.processor_seconds - constants["processor_seconds_empty"] + searching, cpu),
        ("seconds", needs.compute_index_seconds(cores), report.ready_seconds or 0.0),
        ("memory_mb", needs.memory_bytes / 1e6, memory / 1e6),
        ("disk_mb", needs.disk_bytes / 1e6, disk / 1e6),
    ):
        figures |= {f"{name}_planned": round(planned), f"{name}_measured": round(measured)}
        figures[f"{name}_ratio"] = round(planned / measured, 2)
    return figures


def _found(served: Served, numbers: Sequence[int]) -> dict[str, Any]:
    """Count the documents that are the first hit for their own word, and those among ten hits of a hybrid search."""
    first = hybrid = 0
    for number in numbers:
        title, mark = f"Page {number}", _mark(number)
        by_word = served.search(mark, "own word", mode="bm25")
        first += bool(by_word) and by_word[0].title == title
        hybrid += any(hit.title == title for hit in served.search(mark, "own word"))
    return {"looked_for": len(numbers), "found_first_by_word": first, "found_among_ten_hybrid": hybrid}


def _holds_first(served: Served, sentence: str) -> bool:
    hits = served.search(sentence, "planted", mode="bm25")
    return bool(hits) and sentence in hits[0].text


def _grepped(home: Path, planted: int) -> dict[str, Any]:
    """Count planted sentences, and all of a pattern's matches, in one pass over every document for each."""
    settings = Settings(**{**read_settings(llm="none", reranker="none").model_dump(), "home": home})
    figures: dict[str, Any] = {}
    with open_embedded_services(settings) as services:
        corpus = open_corpus(services.documents.catalog, services.contents.texts, AnswerScope(DEFAULT_TENANT))
        for name, pattern in (("words", "the archivist Quo"), ("pattern", r"\b[A-Z]\w+ (?:said|replied|cried)\b")):
            begun = time.perf_counter()
            counted = count_matches(corpus, pattern, timeout_seconds=_GREP_SECONDS)
            figures |= {f"grep_{name}_seconds": round(time.perf_counter() - begun, 1)}
            figures |= {f"grep_{name}_matches": counted.total, f"grep_{name}_complete": counted.complete}
    return figures


if __name__ == "__main__":
    app()
