"""Yes or no by a small model's likelihoods, and by how near a record is to what is asked for.

Such a model answers a list of records with "no" throughout. How likely it finds a "yes", against what it finds of a
text that says nothing, tells records apart, and so does the embedding; both together do so best. Neither is compared
with other records, so that it does not matter how many of them are meant: all, a few, or none.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrieval.embedding import Embedder
from rlm.operators.classifier import Matrix
from rlm.operators.packing import PackLimits, Progress, ask_packed
from rlm.operators.reading import NO, YES, Read, Texts, Vectors
from rlm.strategies import never
from rlm.subcalls.likelihoods import likelihood_call
from rlm.subcalls.port import Context, SubCall, SubCalls

_SYSTEM = "You answer questions about texts with yes or no."
_CHOICES = (f" {YES}", f" {NO}")
_NOTHING = "-"
# Of Qwen2.5-Coder-1.5B and MiniLM, by a logistic regression over the six questions of `tests.eval.yes_or_no repairs`;
# of each of them without it: see DECISIONS.md.
_LOG_ODDS, _NEARNESS, _NEITHER = 1.7, 19.0, -7.0
_MEASURED_WITH = "all-MiniLM-L6-v2"


def are_measured(embedder: Embedder) -> bool:
    """Whether the numbers by which verdicts are weighed are those of this encoder: cosines of another mean other
    things."""
    return _MEASURED_WITH in embedder.fingerprint


@dataclass(frozen=True)
class VerdictsWeighed:
    """By how much likelier a yes is for a record than for a text that says nothing, as a natural logarithm."""

    criterion: str
    purpose: str = "filter"

    def call(self, records: Sequence[str]) -> SubCall:
        contexts = [Context(f"Text: {text or _NOTHING}", _CHOICES, "Answer:") for text in (_NOTHING, *records)]
        return likelihood_call(_SYSTEM, f"{self.criterion}\n\n", contexts, self.purpose)

    def read(self, values: Mapping[str, Any], position: int) -> object | None:
        odds = [_log_odds(values.get(str(number))) for number in (1, position + 1)]
        return None if None in odds else odds[1] - odds[0]  # type: ignore[operator]


class VerdictReader:
    """Weighs each record once. `vectors` embeds records, and `subject` is the embedding of what is asked for."""

    def __init__(
        self,
        subcalls: SubCalls,
        criterion: str,
        subject: Matrix,
        texts: Texts,
        vectors: Vectors,
        *,
        limits: PackLimits,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        self._subcalls = subcalls
        self._task = VerdictsWeighed(criterion)
        self._subject = subject
        self._texts = texts
        self._vectors = vectors
        self._limits = limits
        self._cancelled = cancelled

    def carefully(self, numbers: Sequence[int]) -> Generator[Progress, None, Read]:
        """The verdicts of records, by their numbers."""
        asked = yield from ask_packed(
            self._subcalls, self._task, numbers, self._texts, limits=self._limits, cancelled=self._cancelled
        )
        known = list(asked.results)
        labels: dict[int, str] = {}
        if known:
            odds = np.array([asked.results[number] for number in known], np.float64)
            nearness = self._vectors(known) @ self._subject
            meant = _LOG_ODDS * odds + _NEARNESS * nearness + _NEITHER > 0
            labels = {number: YES if yes else NO for number, yes in zip(known, meant, strict=True)}
        return Read(labels, asked.refused, asked.usage, cut=asked.cut)


def _log_odds(told: object) -> float | None:
    return float(told[0] - told[1]) if isinstance(told, list) and len(told) == len(_CHOICES) else None
