"""Requests of OpenAI's and MCP's clients: null for an optional member means the same as omitting it."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import api.mcp
import api.openai
from api.openai.asked import NullableModel

REQUIRED: dict[str, Any] = {
    "anchor": "last_active_at",
    "attributes": {},
    "days": 1,
    "document": "d",
    "embedding_weight": 1,
    "file_id": "file-1",
    "function": {"name": "weather"},
    "id": "conv_1",
    "input": "Who?",
    "items": [],
    "messages": [],
    "metadata": {},
    "model": "leadline",
    "name": "weather",
    "query": "Who?",
    "question": "Who?",
    "run": "r",
    "text_weight": 1,
    "type": "file_search",
}


def list_models() -> list[type[BaseModel]]:
    """Every model of a request in the packages."""
    for package in (api.mcp, api.openai):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)

    def iter_subclasses(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
        for each in kind.__subclasses__():
            yield each
            yield from iter_subclasses(each)

    found = dict.fromkeys(iter_subclasses(NullableModel))
    return [each for each in found if each.__module__.startswith(("api.mcp", "api.openai"))]


@pytest.mark.parametrize("model", list_models(), ids=lambda each: each.__name__)
def test_every_optional_member_may_be_null(model: type[BaseModel]) -> None:
    required = {name: REQUIRED[name] for name, field in model.model_fields.items() if field.is_required()}
    optional = [name for name, field in model.model_fields.items() if not field.is_required()]
    omitted = model.model_validate(required)
    for name in optional:
        with_null = model.model_validate({**required, name: None})
        if NoneType not in get_args(model.model_fields[name].annotation):
            assert with_null == omitted
    assert model.model_validate({**required, **dict.fromkeys(optional)}).model_dump() == omitted.model_dump()
