"""From the REST client's models to the engine's types, and from the engine's answers to JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client import models

from tests.support.qdrant_double.refusals import Refusal, only


def filter_of(given: models.Filter | None) -> edge.Filter:
    if given is None:
        return edge.Filter()
    only(given, "must", "must_not", "should")
    return edge.Filter(
        must=_conditions(given.must), must_not=_conditions(given.must_not), should=_conditions(given.should)
    )


def conditions(given: models.Filter | None) -> list[Any]:
    """All conditions of a filter and of the filters in it, for counting and looking at."""
    found = [] if given is None else [*_listed(given.must), *_listed(given.must_not), *_listed(given.should)]
    return [one for each in found for one in (conditions(each) if isinstance(each, models.Filter) else [each])]


def query_of(given: models.QueryInterface | models.VectorInput | None, using: str | None) -> Any:  # noqa: ANN401 - the engine's own query types
    if isinstance(given, models.RrfQuery):
        only(given.rrf, "k")
        return edge.Fusion.Rrf(2 if given.rrf.k is None else given.rrf.k)
    if isinstance(given, models.NearestQuery):
        only(given, "nearest")
        return query_of(given.nearest, using)
    if isinstance(given, models.SparseVector):
        return edge.Query.Nearest(sparse_of(given), using=using)
    if isinstance(given, list) and given and not isinstance(given[0], list):
        return edge.Query.Nearest([float(number) for number in given], using=using)
    raise Refusal(400, f"the test double does not know {type(given).__name__} queries")


def params_of(given: models.SearchParams | None) -> edge.SearchParams | None:
    if given is None:
        return None
    only(given, "quantization", "idf")
    quantization = idf = None
    if given.quantization is not None:
        only(given.quantization, "rescore", "oversampling")
        quantization = edge.QuantizationSearchParams(
            rescore=given.quantization.rescore, oversampling=given.quantization.oversampling
        )
    if isinstance(given.idf, models.IdfCorpusParams):
        idf = edge.IdfParams(corpus=filter_of(given.idf.corpus))
    return edge.SearchParams(quantization=quantization, idf=idf)


def vectors_of(given: models.VectorStruct) -> dict[str, Any]:
    """Named vectors, dense or sparse."""
    if not isinstance(given, dict):
        raise Refusal(400, "Wrong input: Not existing vector name error: ")
    made: dict[str, Any] = {}
    for name, vector in given.items():
        if isinstance(vector, models.SparseVector):
            made[name] = sparse_of(vector)
        elif isinstance(vector, list) and not (vector and isinstance(vector[0], list)):
            made[name] = vector
        else:
            raise Refusal(400, f"the test double does not know {type(vector).__name__} as a vector")
    return made


def sparse_of(given: models.SparseVector) -> edge.SparseVector:
    """The engine in process checks none of what the server checks."""
    if len(given.indices) != len(given.values):
        raise Refusal(422, "Validation error in JSON body: [values: must be the same length as indices]")
    if len(set(given.indices)) != len(given.indices):
        raise Refusal(422, "Validation error in JSON body: [indices: must be unique]")
    return edge.SparseVector(list(given.indices), list(given.values))


def point_id(given: models.ExtendedPointId) -> Any:  # noqa: ANN401 - an integer or a UUID
    return given if isinstance(given, int) else str(given)


def selector(given: Any, default: bool) -> Any:  # noqa: ANN401 - a flag or names, here and in the engine
    if given is None:
        return default
    if isinstance(given, bool) or (isinstance(given, list) and all(isinstance(name, str) for name in given)):
        return given
    raise Refusal(400, f"the test double does not know {type(given).__name__} as a selector")


def record_out(record: edge.Record | edge.ScoredPoint) -> dict[str, Any]:
    """A point in JSON; as the server does, without what was not asked for."""
    made: dict[str, Any] = {"id": record.id if isinstance(record.id, int) else str(record.id)}
    if record.payload is not None:
        made["payload"] = record.payload
    if isinstance(record.vector, dict):
        made["vector"] = {name: _vector_out(vector) for name, vector in record.vector.items()}
    if isinstance(record, edge.ScoredPoint):
        made.update(version=record.version, score=shortest(record.score))
    return made


def shortest(number: float) -> float:
    """A 32-bit number as the server writes it: the fewest digits that give the same 32 bits again."""
    return float(str(np.float32(number)))


def _vector_out(vector: Any) -> Any:  # noqa: ANN401 - dense or sparse
    if isinstance(vector, edge.SparseVector):
        return {"indices": list(vector.indices), "values": [shortest(value) for value in vector.values]}
    return [shortest(number) for number in vector]


def _listed(given: Any) -> list[Any]:  # noqa: ANN401 - a condition or a list of them
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) else [given]


def _conditions(given: Any) -> list[Any] | None:  # noqa: ANN401 - a condition or a list of them
    made = [_condition(condition) for condition in _listed(given)]
    return made or None


def _condition(given: Any) -> Any:  # noqa: ANN401 - one of many condition types
    if isinstance(given, models.Filter):
        return filter_of(given)
    if isinstance(given, models.IsEmptyCondition):
        return edge.IsEmptyCondition(given.is_empty.key)
    if isinstance(given, models.HasIdCondition):
        return edge.HasIdCondition({point_id(identifier) for identifier in given.has_id})
    if isinstance(given, models.HasVectorCondition):
        return edge.HasVectorCondition(given.has_vector)
    if isinstance(given, models.FieldCondition):
        only(given, "key", "match")
        if isinstance(given.match, models.MatchValue):
            return edge.FieldCondition(key=given.key, match=edge.MatchValue(given.match.value))
        if isinstance(given.match, models.MatchAny):
            return edge.FieldCondition(key=given.key, match=edge.MatchAny([str(one) for one in given.match.any]))
    raise Refusal(400, f"the test double does not know {type(given).__name__} with these fields")
