"""Pseudo-relevance feedback for dense vectors: the best passage of a first search helps to judge the others."""

import numpy as np

from retrieval.encoders.port import DenseVector

# Measured on four collections: nDCG@10 is flat from 0.3 to 0.7, and falls when more than one passage is used.
ROCCHIO_BETA = 0.5
# The passage that moved the query, and passages most like it, stand out in the ranking that follows. This echo does not
# show how near the others are, so the first few are left out of the scale of that ranking's scores.
ECHOES = 3


def rocchio(query: DenseVector, relevant: DenseVector, *, beta: float = ROCCHIO_BETA) -> DenseVector:
    """Return the query moved towards a vector taken as relevant, at length 1: q + beta * d, both of length 1.

    Sources: Rocchio, in The SMART Retrieval System, 1971; with dense vectors Li et al., "Pseudo Relevance Feedback with
    Deep Language Models and Dense Retrievers", ACM TOIS 41(3), 2023.
    """
    moved: DenseVector = query + np.float32(beta) * relevant
    length = np.linalg.norm(moved)
    return moved / length if length else query
