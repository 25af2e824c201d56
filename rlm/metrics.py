"""Prometheus metrics of answers and of the sandbox.

No label names a tenant.
"""

from prometheus_client import Counter, Histogram

from rlm.answers import Answer
from rlm.llm.metrics import LONG_BUCKETS

ANSWERS = Counter("leadline_answers", "Answers produced, by strategy and status.", ["strategy", "status"])
ANSWER_SECONDS = Histogram(
    "leadline_answer_stage_seconds",
    "Duration of each stage of an answer in seconds, and of the whole answer as `total`.",
    ["stage"],
    buckets=LONG_BUCKETS,
)
EARLY_ANSWERS = Counter(
    "leadline_early_answers",
    "Direct answers begun before the strategy was chosen, by outcome: kept, or dropped for another strategy.",
    ["outcome"],
)
SENTENCES = Counter("leadline_answer_sentences", "Sentences of answers, by check result.", ["check"])
DOLLARS = Counter("leadline_answer_dollars", "Cost of answers in dollars, for models with a known price.")
CELLS = Counter("leadline_sandbox_cells", "Cells of model-written code, by outcome.", ["outcome"])
CELL_SECONDS = Histogram(
    "leadline_sandbox_cell_seconds", "Duration of a cell in seconds, including its tools.", buckets=LONG_BUCKETS
)


def record_answer(answer: Answer) -> None:
    """Record a finished answer with its sentence checks, stages and cost."""
    ANSWERS.labels(answer.strategy, answer.status.value).inc()
    for sentence in answer.sentences:
        SENTENCES.labels(sentence.check.value).inc()
    for stage, milliseconds in answer.timings_ms.items():
        ANSWER_SECONDS.labels(stage).observe(milliseconds / 1000)
    DOLLARS.inc(answer.dollars or 0.0)
