"""`leadline bench rlm`: answers over long documents, measured on generated tasks whose gold is known exactly."""

import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from api.cli.benchmark_service import STRATEGIES, Asker, check_strategy, serving
from api.cli.client import ServiceError
from api.cli.lines import short
from rlm.llm.budgets import Limits
from rlm.llm.prices import Price
from tests.benchmark.tasks.corpus import BenchmarkFolder, Question
from tests.benchmark.tasks.generate import TASKS, Spec, generate
from tests.benchmark.tasks.labels import LABEL_SETS, TUNED
from tests.benchmark.tasks.pairs import LABELS as PAIRS_LABELS
from tests.benchmark.tasks.results import Outcome, Row, judge, summarize

_MULTIPLES = {"k": 1_000, "m": 1_000_000}
_SHOWN_CHARS = 60

Task = Annotated[str, typer.Argument(help=f"{', '.join(TASKS)}.")]
Size = Annotated[str, typer.Option(help="Tokens of all documents together, such as 8k, 128k or 10m.")]
Count = Annotated[int, typer.Option(help="How many questions.", min=1)]
Seed = Annotated[int, typer.Option(help="Chooses everything that is drawn; the same seed gives the same bytes.")]
Labels = Annotated[
    str, typer.Option(help=f"Of tasks over records: {', '.join(LABEL_SETS)}; pairs are about {PAIRS_LABELS} alone.")
]
Unanswerable = Annotated[
    float,
    typer.Option(help="The share of questions whose answer stands nowhere; none of those over records.", min=0, max=1),
]
Haystack = Annotated[
    Path | None,
    typer.Option(
        help="Hide needles, and the facts of multi-hop, in this folder's .txt and .md files, not in generated prose."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON line a question, and a last one of sums.")]


def rlm_generate(
    task: Task,
    folder: Annotated[
        Path,
        typer.Argument(
            help="Where to write documents/, questions.jsonl and benchmark.json, and of tasks over records "
            "records.jsonl with each one's hidden label."
        ),
    ],
    size: Size = "128k",
    count: Count = 5,
    seed: Seed = 0,
    labels: Labels = TUNED,
    unanswerable: Unanswerable = 0.2,
    haystack: Haystack = None,
) -> None:
    """Write a task's documents and questions to a folder, for any system to be measured on."""
    made = _generate(_spec(task, size, count, seed, labels, unanswerable, haystack), folder)
    about = made.about()
    Console().print(
        f"{about['documents']:,} document{'s' if about['documents'] > 1 else ''}, {about['bytes'] / 1e6:,.1f} MB, "
        f"{len(made.questions())} questions in {folder}.",
        highlight=False,
    )


def rlm_score(
    folder: Annotated[Path, typer.Argument(help="A folder that `leadline bench rlm-generate` wrote.")],
    answers: Annotated[
        Path,
        typer.Argument(
            help='JSON lines: {"id": …, "answer": …}, and calls, prompt_tokens, completion_tokens, seconds where known.'
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Score any system's answers to a folder's questions."""
    questions = _read(folder)
    outcomes = _outcomes(answers)
    unknown = outcomes.keys() - {question.id for question in questions}
    if unknown:
        raise ServiceError(
            f"{answers} answers {sorted(unknown)[0]!r}, which {folder} does not ask.",
            hint="Give the folder that was answered.",
        )
    missing = Outcome("", error="There is no answer to this question.")
    rows = [judge(question, outcomes.get(question.id, replace(missing, id=question.id))) for question in questions]
    _report(rows, {"folder": str(folder), "answers": str(answers)}, as_json)


def rlm(
    task: Annotated[str | None, typer.Argument(help=f"{', '.join(TASKS)}; or give --folder.")] = None,
    size: Size = "128k",
    count: Count = 5,
    seed: Seed = 0,
    strategy: Annotated[str, typer.Option(help=f"{', '.join(STRATEGIES)}.")] = "auto",
    folder: Annotated[Path | None, typer.Option(help="Answer this folder's questions instead of new ones.")] = None,
    labels: Labels = TUNED,
    unanswerable: Unanswerable = 0.2,
    haystack: Haystack = None,
    wait: Annotated[
        str, typer.Option(help="Ask when documents are `searchable` (by words) or `ready` (by meaning too).")
    ] = "ready",
    every_record: Annotated[
        bool, typer.Option("--every-record", help="Of many records, have the model read all.")
    ] = False,
    max_calls: Annotated[int | None, typer.Option(help="The most calls of the model for a question.", min=1)] = None,
    deadline_seconds: Annotated[
        float | None,
        typer.Option(help="Give up on a question after so long; a recursive one without --max-calls has 900.", min=1),
    ] = None,
    prices: Annotated[
        tuple[float, float] | None, typer.Option(help="US$ for a million tokens read and written.", min=0)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a whole service about generated documents, and score its answers.

    The service is started on a data folder of its own and gets the documents as any upload; the model is the one that
    LEADLINE_LLM names. --max-calls bounds each question; without it a recursive answer has 500 calls and 900 seconds,
    and any other has no limit. No estimate is asked to be confirmed.
    """
    if wait not in ("searchable", "ready"):
        raise typer.BadParameter("say searchable or ready", param_hint="--wait")
    if (task is None) == (folder is None):
        raise typer.BadParameter(f"give a task ({', '.join(TASKS)}) or --folder, and not both", param_hint="TASK")
    check_strategy(strategy)
    console = Console(stderr=True)
    with ExitStack() as stack:
        if folder is None:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-bench-")))
            spec = _spec(task or "", size, count, seed, labels, unanswerable, haystack)
            made = _generate(spec, scratch / "benchmark")
        else:
            made = BenchmarkFolder(folder)
        questions = _read(made.path)
        service = stack.enter_context(serving(made, wait=wait, console=console))
        price = Price(Decimal(str(prices[0])), Decimal(str(prices[1]))) if prices else None
        budget = Limits(calls=max_calls) if max_calls else None
        rows: list[Row] = []
        status = stack.enter_context(console.status("Asking …"))
        asker = Asker(service, strategy, budget=budget, deadline_seconds=deadline_seconds, every_record=every_record)
        for number, question in enumerate(questions, start=1):
            now = f"Question {number} of {len(questions)} ({question.kind})"
            status.update(f"{now} …")
            outcome = asker.ask(question, partial(_show, status, now))
            rows.append(judge(question, outcome, price))
            if as_json:
                print(json.dumps(rows[-1].to_json(), ensure_ascii=False), flush=True)
        about = {**made.about(), "strategy": strategy, "model": service.language_model.state()["model"]}
    _report(rows, about, as_json, rows_shown=as_json)


def _show(status: Status, question: str, step: str) -> None:
    status.update(f"{question}: {escape(step)}")


def _spec(task: str, size: str, count: int, seed: int, labels: str, unanswerable: float, haystack: Path | None) -> Spec:
    return Spec(
        task,
        parse_size(size),
        seed=seed,
        count=count,
        labels=labels,
        unanswerable=unanswerable,
        haystack=str(haystack) if haystack else None,
    )


def parse_size(size: str) -> int:
    """Tokens: `128k` is 128,000. Raises `typer.BadParameter`."""
    number, multiple = size.strip().lower(), 1
    if number and number[-1] in _MULTIPLES:
        number, multiple = number[:-1], _MULTIPLES[number[-1]]
    try:
        return int(float(number) * multiple)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{size!r} is no size: say 8k, 128k or 10m", param_hint="--size") from error


def _generate(spec: Spec, folder: Path) -> BenchmarkFolder:
    if folder.exists() and any(folder.iterdir()) and not (folder / "benchmark.json").exists():
        raise ServiceError(f"{folder} holds something else.", hint="Name a new folder, or one of an older benchmark.")
    try:
        return generate(spec, folder)
    except ValueError as error:
        raise ServiceError(str(error), hint="`leadline bench rlm-generate --help` lists what there is.") from error


def _read(folder: Path) -> list[Question]:
    try:
        return BenchmarkFolder(folder).questions()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServiceError(
            f"{folder} holds no benchmark: {error}.", hint="`leadline bench rlm-generate TASK FOLDER` makes one."
        ) from error


def _outcomes(answers: Path) -> dict[str, Outcome]:
    """By question. Raises `ServiceError` for a file or a line that cannot be used."""
    outcomes: dict[str, Outcome] = {}
    try:
        lines = answers.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ServiceError(f"{answers} cannot be read: {error}.", hint="Give a file of JSON lines.") from error
    for number, line in enumerate(lines, start=1):
        try:
            outcome = Outcome.from_json(json.loads(line))
        except (ValueError, TypeError, AttributeError) as error:
            raise ServiceError(
                f"{answers}, line {number}: not an answer ({error}).",
                hint='Each line is like {"id": "needle-1", "answer": "a tin globe", "seconds": 3.1}.',
            ) from error
        outcomes[outcome.id] = outcome
    return outcomes


def _report(rows: list[Row], about: Mapping[str, Any], as_json: bool, *, rows_shown: bool = False) -> None:
    """As JSON, a line for each row unless they were shown already, and one of sums; or as tables."""
    sums = {**about, **summarize(rows)}
    if as_json:
        for row in rows if not rows_shown else ():
            print(json.dumps(row.to_json(), ensure_ascii=False))
        print(json.dumps(sums, ensure_ascii=False))
        return
    table = Table("kind", "gold", "answer", "score", "read", "calls", "tokens", "s")
    for row in rows:
        table.add_row(
            row.kind,
            escape(short("; ".join(row.gold) or "not there", _SHOWN_CHARS)),
            escape(short(row.error or row.answer, _SHOWN_CHARS)),
            f"{row.score:.2f}",
            _share(row.evidence_read),
            str(row.calls),
            f"{row.prompt_tokens + row.completion_tokens:,}",
            f"{row.seconds:.1f}",
        )
    Console().print(table)
    figures = Table("figure", "value")
    for name, value in sums.items():
        if value is not None:
            figures.add_row(name, escape(f"{value:,}" if isinstance(value, int | float) else str(value)))
    Console().print(figures)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
