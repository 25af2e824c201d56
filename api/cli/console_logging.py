"""Logging of the command line."""

import sys

import structlog
from structlog.typing import Processor


def configure_logging(level: int, *, as_json: bool = False) -> None:
    """Send log lines to standard error, so that standard output has only results."""
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
