"""Logging for the command line."""

import logging
import sys

import structlog
from structlog.typing import Processor


class LineHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """A stream handler with its own class, so that reconfiguring logging replaces only this handler."""


def configure_logging(level: int, *, as_json: bool = False) -> None:
    """Send log lines to standard error, so that standard output contains only results.

    Libraries' log lines use the same format. Each line includes the fields bound in `structlog.contextvars`: request,
    tenant, key, job and run.
    """
    # Tracebacks must not include local variables, which may contain keys and document text.
    renderers: list[Processor] = [
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    ]
    if as_json:
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = LineHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [*(each for each in root.handlers if not isinstance(each, LineHandler)), handler]
