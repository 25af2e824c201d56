"""The module that users import: its names, and what importing it imports."""

import ast
import inspect
import json
import subprocess
import sys
from types import ModuleType

import pytest

import api.client
import leadline
from api.client import schemas

# The base installation, with the optional packages that its libraries load where they are installed (httpx: rich).
_BASE = "import annotated_types, anyio.to_thread, httpx, httpx_sse, pydantic, tenacity"
_OURS = {"api", "ingest", "leadline", "retrieval", "rlm"}
_ENGINES = {"ingest.catalog", "ingest.parsing", "ingest.parquet", "retrieval.index", "api.rendering", "api.services"}


def loaded_by(code: str) -> set[str]:
    """The modules that a program has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def third_party(modules: set[str]) -> set[str]:
    names = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    return {name for name in names if not name.startswith("_sysconfigdata")}  # Python's own, named by the platform


def test_the_client_with_all_its_schemas_needs_the_base_installation_only() -> None:
    every = "import leadline\nfor name in leadline.__all__: getattr(leadline, name)"
    base, loaded = loaded_by(_BASE), loaded_by(f"{_BASE}\n{every}")
    assert third_party(loaded) - third_party(base) == _OURS
    assert loaded & _ENGINES == set()


def test_importing_the_module_imports_no_library_yet() -> None:
    bare = loaded_by("pass")
    assert third_party(loaded_by("import leadline") - bare) == {"leadline"}


def test_the_client_imports_a_schema_when_it_is_used() -> None:
    loaded = loaded_by("from leadline import AsyncClient, Client")
    assert not [name for name in loaded if name.startswith("api.") and name.endswith("_schemas")]


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
