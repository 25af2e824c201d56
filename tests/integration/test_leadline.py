"""What importing the module that users import imports, each time in a process of its own."""

import json
import subprocess
import sys

# The base installation, with the optional packages that its libraries load where they are installed (httpx: rich).
_BASE = "import annotated_types, anyio.to_thread, httpx, httpx_sse, pydantic, tenacity"
_OURS = {"api", "ingest", "leadline", "retrieval", "rlm"}
_ENGINES = {
    "ingest.storage.db",
    "ingest.parsing",
    "ingest.storage.tables.parquet",
    "retrieval.index.port",
    "api.answers.rendering",
    "api.admission.services",
}


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
