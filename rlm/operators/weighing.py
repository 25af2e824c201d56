"""How well labels and records go together, by a model's own likelihoods, for servers that tell them.

Two questions are asked of each record. With all classes shown, how likely is each label as what is said of it? And the
other way round, how likely is the record as what one writes of each class (a noisy channel: Min et al., ACL 2022)? A
text is as long for one class as for another, and no class stands first: the second has no favourites of the kind that
the first has, and where both are wrong they differ.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlm.operators.classifier import Matrix
from rlm.operators.labels import LabelSet
from rlm.operators.packing import PackLimits
from rlm.operators.prompts import listed
from rlm.subcalls.likelihoods import likelihood_call
from rlm.subcalls.port import Context, SubCall

# Each label is a sequence of its own for the model; with more of them, reading is cheaper.
MOST_LABELS = 12
# What of a record is weighed with each label: the model reads it as often as there are labels.
MOST_WRITTEN_CHARS = 200
# So many tokens of texts go into a call with all labels, in slices of a document.
_TIMES_THE_TEXTS = 2
_FEWEST_TOKENS = 200
# Of texts that begin alike so far, the local server reads each again up to 64 times.
_ALIKE_CHARS, _MANY_ALIKE = 40, 32


@dataclass(frozen=True)
class LabelsWeighed:
    """The log-likelihood of each label as the class of a record."""

    labels: LabelSet
    purpose: str = "classify"

    def call(self, records: Sequence[str]) -> SubCall:
        names = tuple(f" {name}" for name in self.labels.names)
        contexts = [Context(f"Text: {record}", names, "Class:") for record in records]
        classes = f"Classes:\n{listed(self.labels)}\n\n"
        return likelihood_call("You sort texts into classes.", classes, contexts, self.purpose)

    def read(self, values: Mapping[str, Any], position: int) -> object | None:
        """The record's numbers, in the order of the labels."""
        value = values.get(str(position))
        return value if isinstance(value, list) and len(value) == len(self.labels.names) else None


@dataclass(frozen=True)
class RecordsWeighed:
    """The log-likelihood of a record as a text of each label, less their mean.

    Servers tell the likelihoods of no tokens that they know from another call, as the beginnings of records that begin
    alike, after the same prompt. `apart`, each call has a number of its own in its prompt. What a number says of a
    class differs from call to call, so it is only for records that could not be weighed without.
    """

    labels: LabelSet
    apart: bool = False
    purpose: str = "classify"

    def call(self, records: Sequence[str]) -> SubCall:
        texts = tuple(record or "-" for record in records)
        contexts = [Context(f"Write a text of this class: {label.line}", texts) for label in self.labels.labels]
        prompt = f"Task {_number_of(texts)}. " if self.apart else ""
        return likelihood_call("You write short texts.", prompt, contexts, self.purpose)

    def within(self, limits: PackLimits) -> PackLimits:
        """Of calls that send each text once for every label."""
        tokens = max(_FEWEST_TOKENS, _TIMES_THE_TEXTS * limits.tokens // len(self.labels.names))
        return replace(limits, tokens=tokens)

    def read(self, values: Mapping[str, Any], position: int) -> object | None:
        """The record's numbers, in the order of the labels."""
        told = [values.get(str(number)) for number in range(1, len(self.labels.names) + 1)]
        of_record = [each[position - 1] for each in told if isinstance(each, list) and len(each) >= position]
        if len(of_record) < len(told):
            return None
        return list(np.array(of_record) - np.mean(of_record))


def many_alike(texts: Iterable[str]) -> bool:
    """Whether so many texts begin alike that a server would know their beginnings from other calls."""
    beginnings = Counter(text[:_ALIKE_CHARS] for text in texts)
    return max(beginnings.values(), default=0) > _MANY_ALIKE


def _number_of(texts: Sequence[str]) -> int:
    """One of a million, by the texts."""
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass"))
    return int(digest.hexdigest(), 16) % 1_000_000


def matrix(numbers: Sequence[int], weighed: Mapping[int, object]) -> Matrix:
    """A row of log-likelihoods for each of the records `numbers`."""
    found: Matrix = np.array([weighed[number] for number in numbers], np.float32)
    return found
