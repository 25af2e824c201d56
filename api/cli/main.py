"""`leadline`: start the service, put documents in, ask, and measure."""

import logging
import sys
from typing import Annotated

import structlog
import typer
from rich.console import Console
from structlog.typing import Processor

from api.cli import ask, batch, bench, cluster, doctor, evaluate, index, ingest, keys, models, queue, replies, runs, up
from ingest.errors import LeadlineError

app = typer.Typer(
    name="leadline",
    help="Ask a body of documents, and get answers whose citations a machine has checked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(up.up)
app.command()(cluster.api)
app.command()(cluster.worker)
app.command()(cluster.beat)
app.command()(ingest.ingest)
app.command()(ask.ask)
app.command()(ask.search)
app.command()(doctor.doctor)
app.add_typer(evaluate.app, name="eval")
app.add_typer(bench.app, name="bench")
app.add_typer(keys.app, name="keys")
app.add_typer(queue.app, name="queue")
app.add_typer(runs.app, name="runs")
app.add_typer(batch.app, name="batch")
app.add_typer(replies.app, name="replies")
app.add_typer(index.app, name="index")
app.add_typer(models.models, name="models")


@app.callback()
def configure(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, to standard error.")] = False,
) -> None:
    """Leadline. Settings are environment variables that begin with LEADLINE_; `leadline doctor` shows them."""
    configure_logging(logging.INFO if verbose else logging.WARNING)


def configure_logging(level: int, *, as_json: bool = False) -> None:
    """Log lines on standard error, so that standard output is only results."""
    # No renderer prints local variables: they may hold keys and documents.
    renderers: list[Processor] = [
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    ]
    if as_json:
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def main() -> None:
    """The entry point: an error of ours is a sentence and the next step, not a traceback."""
    try:
        app()
    except LeadlineError as error:
        Console(stderr=True).print(f"[red]Error:[/red] {error.detail}", highlight=False)
        if error.hint:
            Console(stderr=True).print(f"{error.hint}", highlight=False)
        sys.exit(1)
