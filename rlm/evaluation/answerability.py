"""How well the answerability score tells questions that the documents answer from questions that they do not.

Each question is asked twice: of all documents, and with those removed that answer it. So both kinds are about the same
things in the same words, and what is left around the gap is the nearest wrong text there is.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from retrieval.evaluation.metrics import roc_auc, roc_auc_interval
from retrieval.evaluation.runs import Estimate
from rlm.answerability import THRESHOLD, UNREAD_THRESHOLD, WORTH_READING, weigh
from rlm.strategies import Retriever

# What is decided by the score in answering, and from which score on.
OPERATING_POINTS: Mapping[str, float] = {
    "read at all": WORTH_READING,
    "quoted without a language model": UNREAD_THRESHOLD,
    "answered without a second reading": THRESHOLD,
}


@dataclass(frozen=True)
class AskedTwice:
    """The score of a question with the documents that answer it, and without them."""

    question: str
    answerable: float
    unanswerable: float


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold that answering goes by, and the shares of answerable and unanswerable questions that fall under it.

    `decides` says what questions at or over it are.
    """

    decides: str
    threshold: float
    answerable_under: float
    unanswerable_under: float


@dataclass(frozen=True)
class Discrimination:
    """The area under the ROC curve of the score, with its 95 % interval over questions, and where it is used."""

    auc: Estimate
    points: tuple[OperatingPoint, ...]


def ask_twice(
    questions: Mapping[str, str],
    answering: Mapping[str, Collection[str]],
    retrieve: Retriever,
    without: Callable[[Collection[str]], Retriever],
) -> Iterator[AskedTwice]:
    """The questions that some document answers, by id, as they are asked.

    `answering` are the documents that answer each, and `without` makes a retriever that does not see some documents.
    """
    for identifier, question in questions.items():
        if documents := answering.get(identifier):
            yield AskedTwice(identifier, _score(question, retrieve), _score(question, without(documents)))


def discrimination(asked: Sequence[AskedTwice]) -> Discrimination:
    """Raises `ValueError` for no questions."""
    answerable, unanswerable = [each.answerable for each in asked], [each.unanswerable for each in asked]
    auc = Estimate(roc_auc(answerable, unanswerable), *roc_auc_interval(answerable, unanswerable))
    points = (
        OperatingPoint(decides, threshold, _share_under(answerable, threshold), _share_under(unanswerable, threshold))
        for decides, threshold in OPERATING_POINTS.items()
    )
    return Discrimination(auc, tuple(points))


def _score(question: str, retrieve: Retriever) -> float:
    weighed = weigh(question, retrieve(question))
    return weighed[0].score if weighed else 0.0


def _share_under(scores: Sequence[float], threshold: float) -> float:
    return sum(score < threshold for score in scores) / len(scores)
