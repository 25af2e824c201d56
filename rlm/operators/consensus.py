"""Labels from several unsure witnesses: a model's readings of a record, how likely it finds each label, and how near
the record's embedding is to each label.

A small model contradicts itself when labels come in another order, and prefers some of them wherever they stand; a
bi-encoder is wrong about other records. So each witness is believed as far as it tells labels apart:

* What a witness says of each label is measured against what it says of that label for the other records: likelihoods
  have their favourites (batch calibration: Zhou et al., ICLR 2024).
* How well it tells a record's label from the others follows from how far its first choice is ahead of its second, by
  signal detection (Green & Swets, 1966): a witness that knows nothing is not far ahead. How often it agrees with others
  says less: those that look at the same words are wrong about the same records.
* Which label a model gives instead of which is learned together with the labels, by expectation and maximization
  (Dawid & Skene, 1979).
* A classifier that learned from the other records' labels is one more witness, believed the more the more there are and
  the better nearness tells labels apart: both look at the embeddings.

Nothing here is tuned to a label set; what was measured is in `DECISIONS.md`.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlm.operators.classifier import Matrix, Numbers, soft_cross_fitted
from rlm.strategies import never

# Of whichever precision arithmetic has given it.
Floats = NDArray[np.floating[Any]]

# From this agreement of a model with itself on, its labels stand where it agrees; below, all witnesses are heard.
STEADY = 0.9
FEWEST_RECORDS = 30
# Of what a witness says of a label, the lower three quarters are of records of others, unless more than one in four has
# it.
_LOWER = 0.75
# Separations in units of the noise; beyond, every record's label is told.
_SEPARATIONS = np.linspace(0.0, 6.0, 121)
# A classifier that learned from fewer records is believed less.
_RECORDS_TO_LEARN_FROM = 150
_ROUNDS = 20
_LEARNED_ROUNDS = 2
_SMOOTHING, _TRUST = 1.0, 3.0


def consensus(
    witnesses: Sequence[Matrix],
    readings: Sequence[Numbers],
    vectors: Matrix,
    *,
    cancelled: Callable[[], bool] = never,
) -> Numbers:
    """The most likely label of each record.

    Each of the `witnesses` has a number for each record (row) and each label (column), such as a cosine or a
    log-likelihood: more is likelier, and only a column's numbers are compared; the first says how near `vectors`, the
    records' embeddings, are to the labels. `readings` are labels of each record by the model. Raises
    `RunCancelledError`.
    """
    labels = witnesses[0].shape[1]
    # Between witnesses that err apart, whose evidence adds up, and such that say the same.
    prior = np.sum([_log_odds(each) for each in witnesses], axis=0) / len(witnesses) ** 0.5
    found = _dawid_skene(prior, readings, labels)
    # Embeddings may well tell labels apart whose names they do not know.
    told = max(1.0, separation(witnesses[0]))
    learned_weight = told * min(1.0, len(vectors) / _RECORDS_TO_LEARN_FROM)
    for _ in range(_LEARNED_ROUNDS):
        learned = soft_cross_fitted(vectors, found.astype(np.float32), cancelled=cancelled)
        found = _dawid_skene(prior + learned_weight * _log(learned), readings, labels)
    best: Numbers = found.argmax(axis=1)
    return best


def separation(witness: Matrix) -> float:
    """By how many standard deviations of its noise a witness puts a record's own label above the others (d').

    Labels are taken to be as frequent as one another.
    """
    best = np.sort(_standardized(witness), axis=1)
    return float(np.interp((best[:, -1] - best[:, -2]).mean(), _leads(witness.shape[1]), _SEPARATIONS))


@lru_cache(maxsize=64)
def _leads(labels: int) -> NDArray[np.float64]:
    """For each of `_SEPARATIONS`, how far the first of so many labels is ahead of the second, in spreads.

    That is the chance that a value lies between the second and the first, over all values: the own label is above it
    and no other, or one other is.
    """
    values = np.linspace(-6.0, 14.0, 2001)[:, None]
    below, own = _normal(values), _normal(values - _SEPARATIONS)
    between = (1 - own) * below ** (labels - 1) + (labels - 1) * (1 - below) * below ** (labels - 2) * own
    step = values[1, 0] - values[0, 0]
    leads: NDArray[np.float64] = between.sum(axis=0) * step / [_spread(each, labels) for each in _SEPARATIONS]
    return leads


def _spread(separation: float, labels: int) -> float:
    """The standard deviation of what a witness says of a label, in those of its noise: own records are above others."""
    return math.sqrt(1 + separation**2 * (labels - 1) / labels**2)


def _log_odds(witness: Matrix) -> Matrix:
    """Of each label against records of others."""
    told = separation(witness)
    noise = witness.std(axis=0) / _spread(told, witness.shape[1]) + 1e-6
    found: Matrix = told * (witness - _of_others(witness)) / noise
    return found


def _of_others(witness: Matrix) -> Floats:
    """What a witness says of each label for records of others, for the mean of all moves with how many have it.

    Between two guesses: the mean of the lower records, which is too low for rare labels and too high for frequent ones,
    and that of those for which another label comes first, which believes a favourite to be frequent.
    """
    lower = np.sort(witness, axis=0)[: math.ceil(_LOWER * len(witness))].mean(axis=0)
    others = _standardized(witness).argmax(axis=1)[:, None] != np.arange(witness.shape[1])
    second: Floats = np.where(others, witness, 0).sum(axis=0) / np.maximum(1, others.sum(axis=0))
    found: Floats = (lower + second) / 2
    return found


def _standardized(witness: Matrix) -> Matrix:
    found: Matrix = (witness - witness.mean(axis=0)) / (witness.std(axis=0) + 1e-6)
    return found


def _dawid_skene(prior: Matrix, readings: Sequence[Numbers], labels: int) -> Floats:
    """Probabilities of each label for each record, and with them which label the model gives for which."""
    if not readings:
        return _softmax(prior)
    # Readings by one model err together: two of them count as 1.4 witnesses.
    weight = 1 / len(readings) ** 0.5
    eye = np.eye(labels)
    found = _softmax(prior + sum(weight * 1.5 * eye[reading] for reading in readings))
    for _ in range(_ROUNDS):
        scores = prior.copy()
        for reading in readings:
            given = np.stack([found[reading == label].sum(axis=0) for label in range(labels)], axis=1)
            given += _SMOOTHING + _TRUST * eye
            given /= given.sum(axis=1, keepdims=True)
            scores += weight * np.log(given[:, reading].T)
        found = _softmax(scores)
    return found


def _normal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard normal distribution's cumulative probabilities."""
    return np.array([[0.5 * (1 + math.erf(each / math.sqrt(2))) for each in row] for row in values])


def _log(probabilities: Matrix) -> Matrix:
    found: Matrix = np.log(probabilities + 1e-3)
    return found


def _softmax(scores: Floats) -> Floats:
    powers: Floats = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Floats = powers / powers.sum(axis=1, keepdims=True)
    return found
