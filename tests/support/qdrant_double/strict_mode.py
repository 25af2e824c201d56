"""The limits of a collection's strict mode, in the server's words. Those not checked here are refused when set."""

from qdrant_client import models

from tests.support.qdrant_double.convert import conditions
from tests.support.qdrant_double.refusals import Refusal, only
from tests.support.qdrant_double.store import Collection

_CHECKED = (
    *("enabled", "max_query_limit", "max_timeout", "unindexed_filtering_retrieve", "unindexed_filtering_update"),
    *("upsert_max_batchsize", "search_max_batchsize", "search_max_oversampling", "filter_max_conditions"),
    *("condition_max_size", "max_payload_index_count"),
)


class Limits:
    """The checks of one request against one collection."""

    def __init__(self, collection: Collection) -> None:
        strict = collection.strict
        self._strict = strict if strict.enabled else models.StrictModeConfig()
        self._indexed = set(collection.shard.info().payload_schema)

    def timeout(self, seconds: str | None) -> None:
        if seconds is not None:
            if not seconds.isdecimal() or int(seconds) < 1:
                raise Refusal(422, f"Validation error in query parameters: [timeout: {seconds}]")
            self._at_most(int(seconds), self._strict.max_timeout, "timeout")

    def limit(self, given: int) -> None:
        self._at_most(given, self._strict.max_query_limit, "limit")

    def upsert(self, points: int) -> None:
        self._at_most(points, self._strict.upsert_max_batchsize, "upsert limit")

    def batch(self, searches: int) -> None:
        self._at_most(searches, self._strict.search_max_batchsize, "search batch size")

    def params(self, params: models.SearchParams | None) -> None:
        if params and params.quantization and params.quantization.oversampling is not None:
            self._at_most(params.quantization.oversampling, self._strict.search_max_oversampling, "oversampling")

    def indexes(self, field: str) -> None:
        self._at_most(len(self._indexed | {field}), self._strict.max_payload_index_count, "max_payload_index_count")

    def filter(self, given: models.Filter | None, *, update: bool = False) -> None:
        found = conditions(given)
        sizes = [_size(condition) for condition in found]
        if self._strict.filter_max_conditions is not None and len(found) > self._strict.filter_max_conditions:
            raise Refusal(400, f"Filter condition limit reached ({len(found)} > {self._strict.filter_max_conditions})")
        if self._strict.condition_max_size is not None and max(sizes, default=0) > self._strict.condition_max_size:
            raise Refusal(400, f"Condition size limit reached ({max(sizes)} > {self._strict.condition_max_size})")
        allowed = self._strict.unindexed_filtering_update if update else self._strict.unindexed_filtering_retrieve
        for condition in found:
            key = _key(condition)
            if allowed is False and key is not None and key not in self._indexed:
                raise Refusal(
                    400,
                    f'Index required but not found for "{key}" of one of the following types: [keyword]. '
                    "Help: Create an index for this key or use a different filter.",
                )

    @staticmethod
    def _at_most(given: float, limit: float | None, name: str) -> None:
        if limit is not None and given > limit:
            raise Refusal(
                400,
                f'Limit exceeded {given} > {limit} for "{name}". '
                f'Help: Reduce the "{name}" parameter to or below {limit}.',
            )


def known(config: models.StrictModeConfig | None) -> None:
    """Refuse a limit that would not be kept."""
    if config is not None:
        only(config, *_CHECKED)


def _key(condition: object) -> str | None:
    if isinstance(condition, models.IsEmptyCondition):
        return condition.is_empty.key
    return condition.key if isinstance(condition, models.FieldCondition) else None


def _size(condition: object) -> int:
    if isinstance(condition, models.HasIdCondition):
        return len(condition.has_id)
    if isinstance(condition, models.FieldCondition) and isinstance(condition.match, models.MatchAny):
        return len(condition.match.any)
    return 1
