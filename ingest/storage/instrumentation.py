"""Spans for OpenTelemetry, and fault points at which a test can pause, fail or kill the process.

Spans connect an upload to the computation of its vectors, and a question to each request to a model. Only the
OpenTelemetry API is used here. It costs almost nothing unless the process has a tracer provider
(`api/cli/telemetry.py`). No attribute contains a secret or the text of a document or question.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Value: TypeAlias = str | int | float | bool | Sequence[str]

_TRACER = trace.get_tracer("leadline")
_W3C = TraceContextTextMapPropagator()
_PARENT = "traceparent"


@contextmanager
def record_span(
    name: str,
    attributes: Mapping[str, Value] | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parents: Sequence[str | None] = (),
) -> Iterator[Span]:
    """Record a block as a child of the current span. An exception that ends the block is recorded too.

    `parents` are return values of `get_traceparent`, for example from another process. The first becomes the parent,
    and the others are linked.
    """
    known = [parent for parent in parents if parent]
    context = _W3C.extract({_PARENT: known[0]}) if known else None
    links = [Link(trace.get_current_span(_W3C.extract({_PARENT: other})).get_span_context()) for other in known[1:]]
    # Error messages may quote a document, so only the error's code or class is recorded.
    with _TRACER.start_as_current_span(
        name, context, kind, attributes, links, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except Exception as error:
            made.set_attribute("error.type", getattr(error, "code", type(error).__name__))
            made.set_status(Status(StatusCode.ERROR))
            raise


def get_traceparent() -> str | None:
    """Return the current span as a W3C `traceparent`, so that another process can continue it.

    Returns None if there is no current span.
    """
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get(_PARENT)


_hook: Callable[[str], None] | None = None


def reach_fault_point(point: str) -> None:
    """Report that the code has reached `point`, where a test may interfere. Outside tests this is one comparison."""
    if _hook is not None:
        _hook(point)


def set_fault_point_hook(hook: Callable[[str], None] | None) -> None:
    """Call `hook` with the name of each fault point that the code reaches. None removes the hook. For tests only."""
    global _hook
    _hook = hook
