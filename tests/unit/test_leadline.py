"""The module that users import, and its names."""

import ast
import inspect
import sys
from types import ModuleType

import pytest

import api.client
import leadline
from api.client import schemas


@pytest.mark.parametrize("module", [leadline, schemas], ids=["leadline", "schemas"])
def test_type_checkers_and_programs_find_the_same_names(module: ModuleType) -> None:
    checked = {
        name.name: node.module
        for statement in ast.parse(inspect.getsource(module)).body
        if isinstance(statement, ast.If) and isinstance(statement.test, ast.Name)
        for node in statement.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert sorted(checked) == sorted(module.__all__)
    for name, origin in checked.items():
        assert origin is not None
        assert getattr(module, name) is getattr(sys.modules[origin], name)


def test_every_public_name_of_the_client_is_there() -> None:
    assert set(api.client.__all__) <= set(leadline.__all__)
    # Pages are read by the client itself, except for the one that a method returns.
    unused = {name for name in schemas.__all__ if name.endswith("Page")} - {"CollectionPage"} | {"ANSWER_EVENTS"}
    assert set(schemas.__all__) - set(leadline.__all__) == unused
    assert set(leadline.__all__) <= set(dir(leadline))


@pytest.mark.parametrize("module", [leadline, schemas], ids=["leadline", "schemas"])
def test_an_unknown_name_is_an_attribute_error(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Clinet'"):
        module.Clinet  # noqa: B018
