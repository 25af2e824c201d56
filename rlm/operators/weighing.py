"""How likely each label is, by the model's own account, for servers that tell.

Two questions are asked of each record: which of the classes it belongs to, with all of them shown, and what it is
about, with none; the answers weighed are the labels' names. The first is more often right where definitions matter,
the second does not lean to labels that stand first or sound general, and where both are wrong they differ. How it is
asked matters much: with "The text is about:" before the label, the second is right no more often than by chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlm.operators.classifier import Matrix
from rlm.operators.labels import LabelSet
from rlm.operators.prompts import listed
from rlm.subcalls.likelihoods import likelihood_call
from rlm.subcalls.port import Context, SubCall

# Each label is a sequence of its own for the model; with more of them, reading is cheaper.
MOST_LABELS = 12


@dataclass(frozen=True)
class WeighingTask:
    """The log-likelihood of each label as what is said of a record. Answers begin with `lead`."""

    labels: LabelSet
    system: str
    prompt: str
    lead: str
    purpose: str = "classify"

    def call(self, records: Sequence[str]) -> SubCall:
        before = " " if self.lead else ""
        names = tuple(f"{before}{name}" for name in self.labels.names)
        contexts = [Context(f"Text: {record}", names, self.lead) for record in records]
        return likelihood_call(self.system, self.prompt, contexts, self.purpose)

    def read(self, value: object) -> object | None:
        """A record's numbers, in the order of the labels."""
        return value if isinstance(value, list) and len(value) == len(self.labels.names) else None


def weighing_tasks(labels: LabelSet) -> tuple[WeighingTask, WeighingTask]:
    """With the classes shown, and without."""
    shown = f"Classes:\n{listed(labels)}\n\n"
    return (
        WeighingTask(labels, "You sort texts into classes.", shown, "Class:"),
        WeighingTask(labels, "You are a helpful assistant.", "What is this text about, in a word or two?\n\n", ""),
    )


def matrix(numbers: Sequence[int], weighed: Mapping[int, object]) -> Matrix:
    """A row of log-likelihoods for each of the records `numbers`."""
    found: Matrix = np.array([weighed[number] for number in numbers], np.float32)
    return found
