"""What Prometheus is told of answers, calls of language models, budgets and the sandbox. No label names a tenant."""

from prometheus_client import Counter, Histogram

from rlm.answers import Answer
from rlm.usage import Usage

# Answers take from a tenth of a second to an hour.
_LONG = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 900, 1800, 3600)

ANSWERS = Counter("leadline_answers", "Answers made, by strategy and status.", ["strategy", "status"])
ANSWER_SECONDS = Histogram(
    "leadline_answer_stage_seconds", "Seconds of each stage of an answer, and `total`.", ["stage"], buckets=_LONG
)
SENTENCES = Counter("leadline_answer_sentences", "Sentences of answers, by how they were checked.", ["check"])
DOLLARS = Counter("leadline_answer_dollars", "What answers cost, where the model has a price.")
MODEL_CALLS = Counter("leadline_model_calls", "Requests to language models, by how they ended.", ["model", "outcome"])
MODEL_SECONDS = Histogram(
    "leadline_model_call_seconds", "Seconds until a request to a language model ended.", ["model"], buckets=_LONG
)
MODEL_TOKENS = Counter("leadline_model_tokens", "Tokens sent to and written by language models.", ["model", "kind"])
KEPT_REPLIES = Counter("leadline_model_replies_reused", "Calls that a kept reply answered, so that no model was asked.")
BUDGET_STOPS = Counter("leadline_budget_stops", "Calls refused because a budget was used up.", ["resource"])
CELLS = Counter("leadline_sandbox_cells", "Cells of model-written code, by how they ended.", ["outcome"])
CELL_SECONDS = Histogram("leadline_sandbox_cell_seconds", "Seconds of a cell, its tools included.", buckets=_LONG)


def note_answer(answer: Answer) -> None:
    """Count a finished answer with its marks, stages and cost."""
    ANSWERS.labels(answer.strategy, answer.status.value).inc()
    for sentence in answer.sentences:
        SENTENCES.labels(sentence.check.value).inc()
    for stage, milliseconds in answer.timings_ms.items():
        ANSWER_SECONDS.labels(stage).observe(milliseconds / 1000)
    DOLLARS.inc(answer.dollars or 0.0)


def note_call(model: str, outcome: str, seconds: float, used: Usage) -> None:
    """Count a request to a model; `outcome` is `ok` or the code of its error."""
    MODEL_CALLS.labels(model, outcome).inc()
    MODEL_SECONDS.labels(model).observe(seconds)
    MODEL_TOKENS.labels(model, "prompt").inc(used.prompt_tokens)
    MODEL_TOKENS.labels(model, "completion").inc(used.completion_tokens)
