"""Estimates the size of a question's scope and the maximum spending on its answer, before the question is asked."""

from typing import Any

from api.admission.services import Services
from api.answers.schemas import QuestionIn
from api.http.remark_schemas import RemarkOut
from api.http.wire import Wire
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.remarks import convert_remark_to_json
from rlm.corpus.corpus import estimate_tokens_from_length
from rlm.estimates import build_unconfirmed_limits, format_limits
from rlm.llm.budgets import Limits
from rlm.requests import AnswerScope, StrategyName
from rlm.runs.bodies import build_limits_body


class EstimateOut(Wire):
    """The size of a question's scope, and the maximum that its answer may spend.

    `tokens` is an estimate if some documents have not been counted yet. `budget` contains the limits that will apply;
    it is empty if there are none. `at_most` describes the limits in words, and `coded_at_most` is the same with its
    codes. A direct answer reads passages and takes one to seven calls to the model.
    """

    documents: int
    tokens: int
    budget: dict[str, Any]
    at_most: str
    coded_at_most: RemarkOut | None = None
    limited: bool


def estimate_question(services: Services, body: QuestionIn, scope: AnswerScope) -> EstimateOut:
    """Estimate the scope and the maximum spending of a question, without calling a model."""
    documents, characters, counted = services.documents.catalog.measure_scope(
        scope.tenant_id,
        collections=scope.collections,
        identifiers=scope.documents,
        conditions=parse_conditions(scope.filters),
        readers=scope.readers,
    )
    limits = _resolve_limits(services, body)
    at_most = format_limits(limits)
    coded = convert_remark_to_json(at_most)
    return EstimateOut(
        documents=documents,
        tokens=max(counted, estimate_tokens_from_length(characters)),
        budget=build_limits_body(limits),
        at_most=at_most,
        coded_at_most=None if coded is None else RemarkOut.model_validate(coded),
        limited=limits != Limits(),
    )


def _resolve_limits(services: Services, body: QuestionIn) -> Limits:
    wanted = body.build_options()
    if wanted.limits is not None:
        return wanted.limits
    if body.background or wanted.strategy is StrategyName.RECURSIVE:
        return build_unconfirmed_limits(is_confirmed=wanted.confirm, has_model_price=services.asking.model_costs)
    return Limits()
