"""Spans for OpenTelemetry, and fault points at which a test may stop, fail or kill the process.

Spans go from an upload to its vectors, and from a question to each call of a model. Only the API is used here; they
cost next to nothing until a process is given a tracer provider (`api/cli/telemetry.py`). No attribute holds text of a
document, a question, or a secret.
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
def span(
    name: str,
    attributes: Mapping[str, Value] | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parents: Sequence[str | None] = (),
) -> Iterator[Span]:
    """Time a block, as a part of the span around it, and note the error that ends it, if one does.

    `parents` are what `traceparent` returned elsewhere: the block is a part of the first, and the others are linked.
    """
    known = [parent for parent in parents if parent]
    context = _W3C.extract({_PARENT: known[0]}) if known else None
    links = [Link(trace.get_current_span(_W3C.extract({_PARENT: other})).get_span_context()) for other in known[1:]]
    # Messages of errors may quote a document, so only their class is noted.
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
    """Return the current span in the form of W3C's Trace Context, to go on in another process; None without one."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get(_PARENT)


_hook: Callable[[str], None] | None = None


def reach_point(point: str) -> None:
    """Report that `point` was reached; without a test this costs one comparison."""
    if _hook is not None:
        _hook(point)


def set_point_hook(hook: Callable[[str], None] | None) -> None:
    """Call `hook` with the name of each point as it is reached; None ends that. For tests only."""
    global _hook
    _hook = hook
