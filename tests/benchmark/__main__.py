"""Answers over long documents, measured on generated tasks whose gold is known exactly.

python -m tests.benchmark list
python -m tests.benchmark generate needles FOLDER --size 128k
python -m tests.benchmark run aggregation --size 1m --strategy recursive --oracle
python -m tests.benchmark run --folder FOLDER --strategy direct
"""

import argparse
import json
import logging
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from api.cli.console_logging import configure_logging
from ingest.storage.errors import LeadlineError
from rlm.llm.budgets import Limits
from rlm.requests import StrategyName
from tests.benchmark.results import Row, print_rows, print_sums, summarize
from tests.benchmark.tasks.folder import TaskFolder
from tests.benchmark.tasks.generate import TASKS, Spec, generate
from tests.benchmark.tasks.labels import LABEL_SETS

_MULTIPLES = {"k": 1_000, "m": 1_000_000}


def parse_size(size: str) -> int:
    """Tokens: `128k` is 128,000. Raises `ValueError`."""
    number = size.strip().lower()
    return int(float(number.rstrip("km")) * _MULTIPLES.get(number[-1:], 1))


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    configure_logging(logging.WARNING)
    try:
        if options.command == "list":
            print("\n".join(TASKS))
        elif options.command == "generate":
            made = generate(_spec(options), options.folder)
            print(f"{len(made.questions())} questions in {made.path}.")
        else:
            return _run(options)
    except (ValueError, LeadlineError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> int:
    """Ends with 1 where a question failed, or was not answered exactly with an oracle that makes no mistake."""
    from tests.benchmark.service import serving  # slow to import: not for what needs no service

    with ExitStack() as stack:
        if options.folder is None:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-task-"))
            folder = generate(_spec(options), Path(scratch))
        else:
            folder = TaskFolder(options.folder)
        service = stack.enter_context(serving(folder, oracle=options.oracle, wait=options.wait, watch=_show))
        rows: list[Row] = []
        for question in folder.questions():
            limits = Limits(calls=options.max_calls)
            strategy = StrategyName(options.strategy)
            outcome = service.ask(question, strategy, limits=limits, seconds=options.seconds, watch=_show)
            rows.append(Row(question, outcome))
            if options.json:
                print(json.dumps(rows[-1].to_json(), ensure_ascii=False), flush=True)
        sums = {**folder.about(), "strategy": options.strategy, **summarize(rows)}
    if options.json:
        print(json.dumps(sums))
    else:
        print_rows(rows)
        print_sums({options.strategy: sums})
    return int(sums["errors"] > 0 or (options.oracle and sums["exact"] < len(rows)))


def _show(step: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{step}", end="", file=sys.stderr, flush=True)


def _spec(options: argparse.Namespace) -> Spec:
    if options.task is None:
        raise ValueError("Name a task, or a folder with --folder.")
    size = parse_size(options.size)
    return Spec(options.task, size, options.seed, options.count, options.labels, options.unanswerable)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the tasks")
    made = commands.add_parser("generate", help="write a task's documents and questions to a folder")
    made.add_argument("task")
    made.add_argument("folder", type=Path)
    run = commands.add_parser("run", help="ask a whole service about a task, and score its answers")
    run.add_argument("task", nargs="?")
    run.add_argument("--folder", type=Path, help="ask what this folder asks, instead of a new task")
    run.add_argument("--strategy", choices=[each.value for each in StrategyName], default="auto")
    run.add_argument("--oracle", action="store_true", help="a model that reads without error, not LEADLINE_LLM's")
    run.add_argument("--wait", choices=["searchable", "ready"], default="ready")
    run.add_argument("--max-calls", type=int, help="the most calls of the model for a question")
    run.add_argument("--seconds", type=float, help="give up on a question after so long")
    run.add_argument("--json", action="store_true", help="one JSON line a question, and a last one of sums")
    for command in (made, run):
        command.add_argument("--size", default="128k", help="tokens of all documents together: 8k, 128k, 10m")
        command.add_argument("--count", type=int, default=5, help="how many questions")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--labels", choices=LABEL_SETS, default="questions", help="of tasks over records")
        command.add_argument("--unanswerable", type=float, default=0.2, help="the share whose answer stands nowhere")
    return parser


if __name__ == "__main__":
    sys.exit(main())
