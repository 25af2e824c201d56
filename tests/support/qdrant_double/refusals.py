"""Reading requests as strictly as can be: what the double does not know, it refuses."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

M = TypeVar("M")

_WORDS = {400: "Bad request", 404: "Not found", 409: "Wrong input", 500: "Service internal error"}


class Refusal(Exception):
    """An answer with an HTTP status and the words that a Qdrant server puts into `status.error`."""

    def __init__(self, status: int, description: str) -> None:
        words = _WORDS.get(status)
        super().__init__(f"{words}: {description}" if words else description)
        self.status = status


def read(body: bytes, kind: TypeAdapter[M]) -> M:
    """The body as one of the client's own models.

    A field that no model knows is refused, and so is one that a model would change: what was read is written out again
    and compared with what was sent. (The real server passes over most fields that it does not know.)
    """
    try:
        sent = json.loads(body)
        model = kind.validate_python(sent)
    except json.JSONDecodeError as error:
        raise Refusal(400, f"Format error in JSON body: {error}") from error
    except ValidationError as error:
        # A union tells the complaints of each of its members; the most telling is the deepest of a field too many.
        found = max(error.errors(), key=lambda one: (one["type"] == "extra_forbidden", len(one["loc"])))
        where = ".".join(str(part) for part in found["loc"])
        raise Refusal(400, f"Format error in JSON body: {where}: {found['msg']}") from error
    kept = kind.dump_python(model, mode="json", by_alias=True, exclude_unset=True)
    difference = _difference(sent, kept, "")
    if difference:
        raise Refusal(400, f"Format error in JSON body: {difference}")
    return model


def query_parameters(given: Mapping[str, str], known: Iterable[str]) -> None:
    """Refuse parameters of the query string that the endpoint does not have."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise Refusal(400, f"Deserialize error in query parameters: unknown field `{unknown[0]}`")


def only(model: BaseModel, *known: str) -> None:
    """Refuse a field that the client's model has and the double does not act on."""
    for field in sorted(model.model_fields_set - set(known)):
        if getattr(model, field) is not None:
            raise Refusal(400, f"the test double does not know `{field}` of {type(model).__name__}")


def _difference(sent: Any, kept: Any, where: str) -> str:  # noqa: ANN401 - JSON
    if sent == kept:
        return ""
    if isinstance(sent, dict) and isinstance(kept, dict):
        for key in sent:
            if key not in kept:
                return f"unknown field `{where}{key}`"
            found = _difference(sent[key], kept[key], f"{where}{key}.")
            if found:
                return found
    if isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        pairs = enumerate(zip(sent, kept, strict=True))
        return next((d for at, (one, other) in pairs if (d := _difference(one, other, f"{where}{at}."))), "")
    return f"`{where.rstrip('.')}` was read as {kept!r}"
