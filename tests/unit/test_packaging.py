"""Names, extras and locks of the distribution."""

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from api.cli.doctor import find_conflicting_distributions

ROOT = Path(__file__).parents[2]
_PACKAGES = {"ingest", "retrieval", "rlm", "api", "workers"}


def test_no_other_distribution_owns_our_import_names() -> None:
    assert find_conflicting_distributions() == {}


def test_the_distribution_is_private() -> None:
    assert "Private :: Do Not Upload" in metadata.metadata("leadline").get_all("Classifier", [])


def test_the_top_level_of_the_repository_is_as_agreed() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__pycache__"))}
    assert folders == {*_PACKAGES, "deploy", "docs", "examples", "tests"}
    assert [path.name for path in ROOT.glob("*.py")] == ["leadline.py"]


def test_every_extra_of_the_service_includes_it() -> None:
    without = {"service", "langchain", "docs", "vllm"}  # the last two have environments of their own
    extras = _project()["optional-dependencies"].keys()
    assert [each for each in extras - without if "fastapi" not in {name.name for name in _requirements(each)}] == []


def test_no_dependency_runs_code_at_every_start_of_python() -> None:
    """A line of a `.pth` file that begins with `import` is executed, whatever program starts."""
    ours = {"pip", "setuptools"}  # the second is part of an environment of Python 3.11, with such a line
    files = {
        Path(str(file.locate()))
        for distribution in metadata.distributions()
        if distribution.metadata["Name"] not in ours
        for file in distribution.files or ()
        if file.suffix == ".pth"
    }
    assert [
        path.name for path in files if any(line.startswith("import") for line in path.read_text().splitlines())
    ] == []


@pytest.mark.parametrize(
    "lock",
    [ROOT / "deploy" / "locks" / f"{name}.txt" for name in ("embedded", "cluster", "gpu", "test", "docs")],
    ids=lambda path: path.stem,
)
def test_every_locked_release_is_allowed_by_what_the_project_asks_for(lock: Path) -> None:
    """A lock that was not written anew after a change of `pyproject.toml` would install something else in images."""
    releases = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock.read_text(), re.MULTILINE))
    every = ["embedded", "ocr", "oidc", "slack", "otel", "s3", "sources"]
    extras = {
        "embedded": every,
        "cluster": [*every, "cluster"],
        "gpu": [*every, "cluster", "sentence-transformers"],
        "test": [*every, "cluster", "test"],
        "docs": ["docs"],
    }
    base = map(Requirement, _project()["dependencies"])
    for requirement in (*base, *(each for name in extras[lock.stem] for each in _requirements(name))):
        release = releases.get(canonicalize_name(requirement.name))
        assert release is not None, f"{requirement} is not in {lock.name}: `make locks`"
        assert requirement.specifier.contains(release), f"{requirement} excludes {release}: `make locks`"


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _requirements(extra: str) -> Iterator[Requirement]:
    """Yield what an extra requires, and what the other extras of ours require that it includes."""
    for requirement in map(Requirement, _project()["optional-dependencies"][extra]):
        if requirement.name != "leadline":
            yield requirement
        for included in requirement.extras if requirement.name == "leadline" else ():
            yield from _requirements(included)


def test_commands_install_from_a_path_because_no_registry_has_the_package() -> None:
    folders = ("api", "ingest", "retrieval", "rlm", "workers", "deploy", "docs", "examples")
    files = [ROOT / "README.md", *(path for name in folders for path in (ROOT / name).rglob("*.[mp][dy]"))]
    named = re.compile(r"pip install ['\"]?leadline\b")
    assert [str(path) for path in files if named.search(path.read_text())] == []
