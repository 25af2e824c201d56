"""Prometheus metrics for budgets and language model calls, and trace spans for these calls.

No label names a tenant.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge, Histogram

from ingest.storage.instrumentation import Value, record_span
from rlm.llm.budgets import Usage

# Histogram buckets for the duration of calls and answers, which take between a tenth of a second and an hour.
LONG_BUCKETS = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 900, 1800, 3600)

MODEL_CALLS = Counter("leadline_model_calls", "Requests to language models, by outcome.", ["model", "outcome"])
MODEL_SECONDS = Histogram(
    "leadline_model_call_seconds",
    "Duration of requests to language models in seconds.",
    ["model"],
    buckets=LONG_BUCKETS,
)
MODEL_TOKENS = Counter("leadline_model_tokens", "Tokens sent to and written by language models.", ["model", "kind"])
# A model's servers are numbered in the order of the settings, so that the metrics do not expose their addresses.
SERVER_REQUESTS = Counter(
    "leadline_model_server_requests",
    "Requests to each server of a language model with several servers, by outcome.",
    ["model", "server", "outcome"],
)
# Only live worker processes are counted, because the requests of a killed process are no longer open.
SERVER_OPEN = Gauge(
    "leadline_model_server_open_requests",
    "Requests of this process that are in progress on a server.",
    ["model", "server"],
    multiprocess_mode="livesum",
)
SERVER_RESTING = Gauge(
    "leadline_model_server_resting",
    "1 while a server receives no requests after a failure.",
    ["model", "server"],
    multiprocess_mode="livemax",
)
KEPT_REPLIES = Counter("leadline_model_replies_reused", "Calls answered from the cache without asking a model.")
BUDGET_STOPS = Counter("leadline_budget_stops", "Calls rejected because a budget was exhausted.", ["resource"])


class ObservedCall:
    """A request to a model, with its cost and outcome: `ok`, `given_up` or an error code."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.outcome = "given_up"


@contextmanager
def observe_call(model: str, purpose: str, max_tokens: int) -> Iterator[ObservedCall]:
    """Time and count a request to `model`, and create a trace span for the request.

    Neither the metrics nor the span contain the prompt or the reply. The span has the attributes of OpenTelemetry's
    conventions for generative AI, version 0.1.0, which are in development.
    """
    noted, begun = ObservedCall(), time.monotonic()
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "gen_ai.request.max_tokens": max_tokens,
        "leadline.call.purpose": purpose,
    }
    with record_span(f"chat {model}", attributes, kind=SpanKind.CLIENT) as made:
        try:
            yield noted
        finally:
            read, written = noted.usage.prompt_tokens, noted.usage.completion_tokens
            made.set_attribute("gen_ai.usage.input_tokens", read)
            made.set_attribute("gen_ai.usage.output_tokens", written)
            if noted.outcome not in ("ok", "given_up"):
                made.set_attribute("error.type", noted.outcome)
            MODEL_CALLS.labels(model, noted.outcome).inc()
            MODEL_SECONDS.labels(model).observe(time.monotonic() - begun)
            MODEL_TOKENS.labels(model, "prompt").inc(read)
            MODEL_TOKENS.labels(model, "completion").inc(written)
