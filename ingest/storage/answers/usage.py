"""Questions, tokens and cost per collection, computed from stored answers and runs and the documents they used."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Float, Select, cast, func, literal, select, union_all

from ingest.storage.accounts.access import build_owner_condition
from ingest.storage.db.database import read_transaction
from ingest.storage.db.schema import answers, documents, runs, versions, work_versions
from ingest.storage.quotas.records import NANODOLLARS


@dataclass(frozen=True)
class CollectionUsage:
    """The usage of a collection. A question counts toward every collection whose documents were used for its answer."""

    collection: str
    questions: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float


class UsageByCollection:
    """Computes the usage of tenants' collections. Each call reads the data of a single tenant."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def sum_usage(
        self, tenant_id: str, *, owner: str | None, start_time: float, end_time: float
    ) -> list[CollectionUsage]:
        """Sum the usage of one owner, or of all owners (None).

        Includes questions from `start_time` (inclusive) to `end_time` (exclusive). The collection with the most tokens
        comes first.
        """
        works = union_all(
            _build_answers_query(tenant_id, owner, start_time, end_time),
            _build_runs_query(tenant_id, owner, start_time, end_time),
        ).subquery()
        given = (
            select(works, documents.c.collection)
            .join(work_versions, work_versions.c.work_id == works.c.id)
            .join(versions, versions.c.id == work_versions.c.version_id)
            .join(documents, documents.c.id == versions.c.document_id)
            .where(documents.c.tenant_id == tenant_id)
            .distinct()
            .subquery()
        )
        read_tokens, written = func.sum(given.c.prompt_tokens), func.sum(given.c.completion_tokens)
        query = select(given.c.collection, func.count(), read_tokens, written, func.sum(given.c.dollars))
        query = query.group_by(given.c.collection).order_by((read_tokens + written).desc(), given.c.collection)
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return [CollectionUsage(row[0], row[1], int(row[2]), int(row[3]), float(row[4])) for row in rows]


def _build_answers_query(tenant_id: str, owner: str | None, start_time: float, end_time: float) -> Select[Any]:
    """Select stored answers with their spending.

    Answers produced by runs are excluded, because they are counted with the runs.
    """
    usage = answers.c.answer["usage"]
    of_runs = select(runs.c.id).where(runs.c.tenant_id == tenant_id)
    return select(
        answers.c.id,
        func.coalesce(usage["prompt_tokens"].as_integer(), 0).label("prompt_tokens"),
        func.coalesce(usage["completion_tokens"].as_integer(), 0).label("completion_tokens"),
        func.coalesce(answers.c.answer["dollars"].as_float(), 0.0).label("dollars"),
    ).where(
        answers.c.tenant_id == tenant_id,
        build_owner_condition(answers, owner),
        answers.c.created_at >= start_time,
        answers.c.created_at < end_time,
        answers.c.id.not_in(of_runs),
    )


def _build_runs_query(tenant_id: str, owner: str | None, start_time: float, end_time: float) -> Select[Any]:
    return select(
        runs.c.id,
        runs.c.prompt_tokens,
        runs.c.completion_tokens,
        (cast(runs.c.nanodollars, Float) / literal(float(NANODOLLARS))).label("dollars"),
    ).where(
        runs.c.tenant_id == tenant_id,
        build_owner_condition(runs, owner),
        runs.c.created_at >= start_time,
        runs.c.created_at < end_time,
    )
