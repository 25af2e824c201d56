"""Estimates of a question before it is asked: what it is about, and the most that its answer may spend."""

from typing import Any

from api.admission.services import Services
from api.answers.schemas import QuestionIn
from api.http.wire import Wire
from ingest.storage.documents.filters import conditions
from rlm.corpus.corpus import estimated_tokens
from rlm.estimates import at_most, unasked
from rlm.llm.budgets import Limits
from rlm.requests import AnswerScope, StrategyName
from rlm.runs.bodies import limits_body


class EstimateOut(Wire):
    """What a question is about, and the most that its answer may spend.

    `tokens` of documents that were not counted yet are estimates. `budget` has the limits that will hold, empty where
    there are none; `at_most` says them in words. A direct answer reads passages, and takes one to seven calls.
    """

    documents: int
    tokens: int
    budget: dict[str, Any]
    at_most: str
    limited: bool


def estimated(served: Services, body: QuestionIn, scope: AnswerScope) -> EstimateOut:
    """Estimate a question, without asking a model."""
    documents, characters, counted = served.documents.catalog.scope_size(
        scope.tenant_id,
        collections=scope.collections,
        identifiers=scope.documents,
        conditions=conditions(scope.filters),
        readers=scope.readers,
    )
    limits = _limits(served, body)
    return EstimateOut(
        documents=documents,
        tokens=max(counted, estimated_tokens(characters)),
        budget=limits_body(limits),
        at_most=at_most(limits),
        limited=limits != Limits(),
    )


def _limits(served: Services, body: QuestionIn) -> Limits:
    wanted = body.wanted()
    if wanted.limits is not None:
        return wanted.limits
    if body.background or wanted.strategy is StrategyName.RECURSIVE:
        return unasked(is_confirmed=wanted.confirm, model_costs=served.asking.model_costs)
    return Limits()
