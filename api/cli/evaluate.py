"""`leadline eval`: measure search and chunk quality, and compare two searches."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from api.build.language_model import select_reranker
from api.cli.console import Console
from api.cli.environment import read_settings
from api.cli.evaluate_chunks import measure_chunks
from api.cli.judged_collection import FileQuestions, JudgedCollection, open_judged_collection
from api.client import ServiceError
from retrieval.errors import EvaluationDataError
from retrieval.evaluation.figures import FigureQuestions, FoundPassage, has_figures, judge_figures
from retrieval.evaluation.judged import JudgedFolder, open_judged_folder
from retrieval.evaluation.passages import (
    MAX_PASSAGES,
    DocumentSpan,
    LocatedQuestions,
    QuestionPart,
    assign_question_part,
    has_located_questions,
    judge_passages,
    open_located_questions,
)
from retrieval.evaluation.runs import (
    RANKING_DEPTH,
    Difference,
    Evaluation,
    EvaluationRun,
    MeanEstimate,
    compute_differences,
    judge_rankings,
    load_evaluation,
    save_evaluation,
)
from retrieval.models.store import ModelStore
from retrieval.search.requests import Fusion, Mode

app = typer.Typer(help="Measure search quality on judged questions.", no_args_is_help=True)

app.command("chunks")(measure_chunks)

AsJson = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]

# Searches that can be measured. By default, all of these searches are measured, except `reranked` if no reranker is
# configured.
_SEARCHES: Mapping[str, Mapping[str, Any]] = {
    "bm25": {"mode": Mode.BM25, "rerank": False},
    "dense": {"mode": Mode.DENSE, "rerank": False},
    "rrf": {"mode": Mode.HYBRID, "fusion": Fusion.RRF, "rerank": False},
    "hybrid": {"mode": Mode.HYBRID, "feedback": False, "rerank": False},
    "feedback": {"mode": Mode.HYBRID, "feedback": True, "rerank": False},
    "reranked": {"mode": Mode.HYBRID, "rerank": True},
}


@app.command()
def retrieval(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A folder of judged questions in BEIR, SQuAD, Chroma or Docugami format, or a JSON Lines file that "
            "refers to excerpts or pages of documents.",
        ),
    ],
    documents: Annotated[
        Path | None, typer.Option(help="The folder with the documents that a JSON Lines file refers to.")
    ] = None,
    by_pages: Annotated[
        bool, typer.Option("--by-pages", help="Judge by the pages in the file instead of the exact excerpts.")
    ] = False,
    within: Annotated[
        bool, typer.Option("--within", help="Search only the documents that each question is about.")
    ] = False,
    part: Annotated[
        QuestionPart | None, typer.Option(help="Use one half of the questions: for tuning, or held out.")
    ] = None,
    searches: Annotated[
        list[str] | None, typer.Option("--search", "-s", help="A search to measure; may be repeated.")
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="Keep the index in this folder, so that the next run only searches."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the results of every query to this file, for `compare`."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure BM25, dense and hybrid search, with 95 % bootstrap confidence intervals.

    If texts are judged as a whole, the measures are nDCG@10, recall@10, recall@100 and MRR@10. If excerpts or pages are
    judged, they are MRR@10 and the fraction of questions answered within the first 1, 5 and 10 passages. A passage
    counts as correct if it starts on the page, or if it overlaps the excerpt by at least half the length of the shorter
    of the two. If answers contain figures, the measure is the fraction of these figures found in the first 5 and 10
    passages.

    The command starts a service with its own data folder. The corpus is uploaded, chunked and embedded like any other
    documents, and queries run through the search API.
    """
    console = Console(stderr=True)
    data = _open_question_set(source, documents, by_pages=by_pages)
    if within and not isinstance(data, FileQuestions):
        raise typer.BadParameter("The texts of this source are not separate documents.", param_hint="--within")
    queries = _select_questions(data, part)
    if not queries:
        raise typer.BadParameter("This half of the questions is empty.", param_hint="--part")
    requests = {name: build_search_request(name, data) for name in searches or _list_default_searches()}
    with open_judged_collection(data, index, console) as collection, console.status("Searching …") as status:
        places = data.locate_answers(collection.load_texts()) if isinstance(data, LocatedQuestions) else {}
        runs: dict[str, EvaluationRun] = {}
        for name, request in requests.items():
            status.update(f"Searching: {name} …")
            hits, stages = _search_all_queries(
                collection, queries, request, _list_question_documents(data, collection) if within else {}
            )
            if isinstance(data, FigureQuestions):
                chosen = [question for question in data.questions if question.id in queries]
                runs[name] = judge_figures(_convert_to_passages(collection, hits), chosen, stages)
            elif isinstance(data, LocatedQuestions):
                expected = {query: places[query] for query in queries}
                places_found = {query: convert_to_spans(collection, found) for query, found in hits.items()}
                runs[name] = judge_passages(places_found, expected, stages)
            else:
                qrels = {query: data.qrels[query] for query in queries}
                runs[name] = judge_rankings(_list_hit_corpus_ids(collection, hits), qrels, stages)
    evaluation = Evaluation(source.stem, queries, runs)
    if output is not None:
        save_evaluation(evaluation, output)
    summaries = {name: run.summarize() for name, run in runs.items()}
    if as_json:
        print(json.dumps(_build_json_report(evaluation, summaries)))
        return
    _print_summary(evaluation, summaries)


@app.command("compare")
def compare_runs(
    first: Annotated[str, typer.Argument(metavar="A", help="FILE or FILE:SEARCH, from `eval retrieval -o`.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The run to compare with A, in the same format.")],
    measure: Annotated[
        str | None, typer.Option(help="List the queries by this measure; the first measure by default.")
    ] = None,
    queries: Annotated[int, typer.Option(help="Number of queries to list, those that changed most first.", min=0)] = 10,
    as_json: AsJson = False,
) -> None:
    """Test whether search B is better than search A.

    Prints the mean difference per query with its 95 % bootstrap confidence interval, and the queries that changed most.
    If no search is named, the file's only search or `hybrid` is used.
    """
    (evaluation, ours), (_, theirs) = _load_evaluation_run(first), _load_evaluation_run(second)
    differences = compute_differences(ours, theirs)
    measure = measure or next(iter(differences))
    if measure not in differences:
        raise typer.BadParameter(f"Choose one of {', '.join(differences)}.", param_hint="--measure")
    if as_json:
        content = {
            name: {"first": d.first, "second": d.second, **asdict(d.change), "by_query": d.by_query}
            for name, d in differences.items()
        }
        print(json.dumps(content))
        return
    _print_differences(first, second, differences)
    _print_most_changed_queries(evaluation, measure, differences[measure].by_query, queries)


def _list_default_searches() -> list[str]:
    settings = read_settings()
    without = set() if select_reranker(settings, ModelStore(settings.models)) else {"reranked"}
    return [name for name in _SEARCHES if name not in without]


def _open_question_set(source: Path, documents: Path | None, *, by_pages: bool) -> JudgedFolder | FileQuestions:
    if has_figures(source):
        return FigureQuestions(source)
    return (
        open_located_questions(source, documents, use_pages=by_pages)
        if has_located_questions(source)
        else open_judged_folder(source)
    )


def _list_question_documents(
    question_set: JudgedFolder | FileQuestions, collection: JudgedCollection
) -> dict[str, list[str]]:
    """List the ids of the documents that each question is about, keyed by question id."""
    names: dict[str, set[str]] = {}
    if isinstance(question_set, FigureQuestions):
        names = {question.id: {question.document} for question in question_set.questions}
    elif isinstance(question_set, LocatedQuestions):
        names = {question.id: {place.document for place in question.places} for question in question_set.questions}
    return {
        question: [document for document, owners in collection.owners.items() if about.intersection(owners)]
        for question, about in names.items()
    }


def build_search_request(search_name: str, question_set: JudgedFolder | FileQuestions) -> dict[str, Any]:
    """Build the request body for the search with this name, without the query."""
    if search_name not in _SEARCHES:
        raise typer.BadParameter(
            f"Unknown search {search_name!r}. Choose one of {', '.join(_SEARCHES)}.", param_hint="--search"
        )
    if isinstance(question_set, FileQuestions):
        return {**_SEARCHES[search_name], "top_k": MAX_PASSAGES}
    return {**_SEARCHES[search_name], "top_k": RANKING_DEPTH, "per_document": 1}


def _select_questions(question_set: JudgedFolder | FileQuestions, half: QuestionPart | None) -> dict[str, str]:
    """Return the judged questions keyed by id, or only those in the half `half` if it is given."""
    if isinstance(question_set, FileQuestions):
        return {each.id: each.text for each in question_set.questions if half in (None, each.part)}
    every = {query: question_set.queries[query] for query in question_set.qrels}
    return {query: text for query, text in every.items() if half in (None, assign_question_part(text))}


def _search_all_queries(
    collection: JudgedCollection,
    queries: Mapping[str, str],
    request: Mapping[str, Any],
    document_ids: Mapping[str, Sequence[str]],
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float]]:
    """Return each question's hits, keyed by question id, and each stage's median time in milliseconds.

    A question with an entry in `document_ids` searches only those documents.
    """
    hits: dict[str, list[dict[str, Any]]] = {}
    stages: dict[str, list[float]] = {}
    for query, text in queries.items():
        found = post_search(collection, text, {**request, "documents": document_ids.get(query, [])})
        hits[query] = found["hits"]
        for stage, milliseconds in found["timings_ms"].items():
            stages.setdefault(stage, []).append(milliseconds)
    return hits, {stage: round(statistics.median(values), 3) for stage, values in stages.items()}


def post_search(collection: JudgedCollection, query: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send a search request and return the response. Raises `ServiceError` if a requested reranking failed."""
    found: dict[str, Any] = collection.client.post("/v1/search", {**request, "query": query})
    if (reranked := found["reranked"]) and reranked["state"] == "failed":
        raise ServiceError(
            f"{query!r} was not reranked: {reranked['detail']}",
            hint="Allow more time for measurements: set LEADLINE_RERANK_DEADLINE_MS=600000.",
        )
    return found


def _list_hit_corpus_ids(
    collection: JudgedCollection, hits: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, list[str]]:
    return {
        query: [owner for hit in found for owner in collection.owners[hit["document"]]] for query, found in hits.items()
    }


def convert_to_spans(collection: JudgedCollection, hits: Sequence[Mapping[str, Any]]) -> list[DocumentSpan]:
    """Convert hits to spans of corpus documents.

    A hit becomes several spans if several corpus ids share an identical text, which is stored as one document.
    """
    return [
        DocumentSpan(owner, hit["start"], hit["end"], hit["page"])
        for hit in hits
        for owner in collection.owners[hit["document"]]
    ]


def _convert_to_passages(
    collection: JudgedCollection, hits: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, list[FoundPassage]]:
    return {
        query: [FoundPassage(collection.owners[hit["document"]][0], hit["text"]) for hit in found]
        for query, found in hits.items()
    }


def _load_evaluation_run(run_name: str) -> tuple[Evaluation, EvaluationRun]:
    path, _, search = (
        run_name.rpartition(":") if ":" in run_name and not Path(run_name).exists() else (run_name, "", "")
    )
    evaluation = load_evaluation(Path(path))
    if not search:
        search = Mode.HYBRID.value if len(evaluation.runs) > 1 else next(iter(evaluation.runs), "")
    if search not in evaluation.runs:
        raise EvaluationDataError(
            f"{path} has no search {search!r}.",
            hint=f"Its searches are {', '.join(evaluation.runs)}. Choose a search with {path}:SEARCH.",
        )
    return evaluation, evaluation.runs[search]


def _build_json_report(evaluation: Evaluation, summaries: Mapping[str, Mapping[str, MeanEstimate]]) -> dict[str, Any]:
    return {
        "collection": evaluation.collection,
        "queries": len(evaluation.queries),
        "searches": {
            name: {
                **{measure: asdict(figure) for measure, figure in summary.items()},
                "stages_ms": dict(evaluation.runs[name].stages_ms),
            }
            for name, summary in summaries.items()
        },
    }


def _print_summary(evaluation: Evaluation, summaries: Mapping[str, Mapping[str, MeanEstimate]]) -> None:
    measures = list(next(iter(summaries.values())))
    table = Table("search", *measures, "ms", title=f"{evaluation.collection}: {len(evaluation.queries):,} queries")
    for name, summary in summaries.items():
        table.add_row(
            name,
            *(f"{figure.mean:.4f} [dim]{figure.low:.3f}–{figure.high:.3f}[/dim]" for figure in summary.values()),
            f"{evaluation.runs[name].stages_ms.get('total', 0.0):.1f}",
        )
    Console().print(table)
    Console().print("Intervals are 95 % confidence intervals; times are medians of sequential searches.", style="dim")


def _print_differences(first: str, second: str, differences: Mapping[str, Difference]) -> None:
    table = Table("measure", "A", "B", "B - A", "95 %", "better", "worse", "same", "", title=f"A: {first}\nB: {second}")
    for measure, difference in differences.items():
        changes = difference.by_query.values()
        better, worse = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
        table.add_row(
            measure,
            f"{difference.first:.4f}",
            f"{difference.second:.4f}",
            f"{difference.change.mean:+.4f}",
            f"{difference.change.low:+.4f} to {difference.change.high:+.4f}",
            str(better),
            str(worse),
            str(len(changes) - better - worse),
            ("B is better" if difference.change.mean > 0 else "B is worse")
            if difference.is_significant
            else "not significant",
        )
    Console().print(table)


def _print_most_changed_queries(evaluation: Evaluation, measure: str, changes: Mapping[str, float], limit: int) -> None:
    console = Console()
    changed = sorted((query for query in changes if changes[query]), key=lambda query: (-abs(changes[query]), query))
    if not changed or not limit:
        return
    table = Table(f"{measure}, B - A", "query", "text", title="The queries that changed most")
    for query in sorted(changed[:limit], key=lambda query: changes[query]):
        colour = "green" if changes[query] > 0 else "red"
        table.add_row(f"[{colour}]{changes[query]:+.4f}[/{colour}]", escape(query), escape(evaluation.queries[query]))
    console.print(table)
