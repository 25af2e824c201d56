"""Model names for collections and strategies.

`leadline` searches all of the caller's collections and lets the service choose the strategy. `leadline:recursive` sets
the strategy, `leadline/reports` searches one collection, and `leadline/reports:table` does both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from api.admission.services import Services
from api.http.problems import ApiError
from ingest.storage.accounts.records import Principal
from rlm.requests import StrategyName

BASE = "leadline"
_STRATEGIES = tuple(each for each in StrategyName if each is not StrategyName.AUTO)


class ModelNotFoundError(ApiError):
    """No model has this name."""

    code = "model_not_found"
    status = 404


@dataclass(frozen=True)
class ChosenModel:
    """A parsed model name. If the name contains no collection, all of the caller's collections are searched."""

    name: str
    collection: str | None = None
    strategy: StrategyName = StrategyName.AUTO


def parse_model(services: Services, caller: Principal, name: str) -> ChosenModel:
    """Parse a model name.

    Raises `ModelNotFoundError` if the model does not exist or the caller cannot read its collection.
    """
    rest, _, strategy = name.partition(":")
    base, _, collection = rest.partition("/")
    known = base == BASE and (strategy == "" or strategy in set(_STRATEGIES))
    if not known or ("/" in rest and collection not in list_readable_collections(services, caller)):
        raise ModelNotFoundError(
            f"Model {name!r} not found.",
            field_path="model",
            hint=f"GET /v1/models lists all models. `{BASE}` asks all of your documents.",
        )
    return ChosenModel(name, collection or None, StrategyName(strategy) if strategy else StrategyName.AUTO)


def iter_model_names(services: Services, caller: Principal) -> Iterator[str]:
    """Yield the names of all models: first all documents and each strategy, then each collection."""
    yield BASE
    yield from (f"{BASE}:{strategy}" for strategy in _STRATEGIES)
    yield from (f"{BASE}/{collection}" for collection in list_readable_collections(services, caller))


def list_readable_collections(services: Services, caller: Principal) -> list[str]:
    """Return the collections that the caller can read."""
    found = services.accounts.grants.list_collections(caller.tenant_id)
    return [each.name for each in found if caller.collections.can_read(each.name)]


def build_model_object(name: str) -> dict[str, Any]:
    """Return a model object. Its creation time is 0, because our models are only names and have none."""
    return {"id": name, "object": "model", "created": 0, "owned_by": BASE}


def get_base_url(request: Request, services: Services) -> str:
    """Return the service's address as seen by clients."""
    return services.settings.public_url or str(request.base_url)
