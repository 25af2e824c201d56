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
from ingest.storage.documents.collection_records import Collection
from rlm.requests import StrategyName

BASE = "leadline"
_STRATEGIES = tuple(each for each in StrategyName if each is not StrategyName.AUTO)
_GENERAL = (BASE, *(f"{BASE}:{strategy}" for strategy in _STRATEGIES))
_MAX_LISTED = 10_000


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


def iter_model_objects(services: Services, caller: Principal) -> Iterator[dict[str, Any]]:
    """Yield all models: first all documents and each strategy, then each collection."""
    yield from (build_model_object(services, caller, ChosenModel(name)) for name in _GENERAL)
    found = services.documents.collections.list_collections(caller.tenant_id, limit=_MAX_LISTED, readers=caller.readers)
    for each in found:
        if caller.collections.can_read(each.name):
            yield _build_collection_model(f"{BASE}/{each.name}", each)


def list_readable_collections(services: Services, caller: Principal) -> list[str]:
    """Return the collections that the caller can read."""
    found = services.accounts.grants.list_collections(caller.tenant_id)
    return [each.name for each in found if caller.collections.can_read(each.name)]


def build_model_object(services: Services, caller: Principal, model: ChosenModel) -> dict[str, Any]:
    """Return a model object. Its `name` is for display; model pickers show it instead of the id.

    A model of all documents was created when its tenant was.
    """
    if model.collection is not None:
        found = services.documents.collections.load_collection(
            caller.tenant_id, model.collection, readers=caller.readers
        )
        return _build_collection_model(model.name, found)
    created = services.accounts.tenants.load_tenant(caller.tenant_id).created_at
    return _build_model(model.name, model.name, created)


def _build_collection_model(name: str, collection: Collection) -> dict[str, Any]:
    _, _, strategy = name.partition(":")
    title = collection.settings.title or collection.name
    return _build_model(name, f"{title} ({strategy})" if strategy else title, collection.created_at)


def _build_model(identifier: str, name: str, created_at: float) -> dict[str, Any]:
    return {"id": identifier, "object": "model", "created": int(created_at), "owned_by": BASE, "name": name}


def get_base_url(request: Request, services: Services) -> str:
    """Return the service's address as seen by clients."""
    return services.settings.public_url or str(request.base_url)
