"""Nothing else may own our import names, and the wheel holds what the code reads."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from api.cli.doctor import foreign_owners

ROOT = Path(__file__).parents[2]


def test_no_other_distribution_owns_our_import_names() -> None:
    assert foreign_owners() == {}


def test_the_distribution_is_private() -> None:
    assert "Private :: Do Not Upload" in metadata.metadata("leadline").get_all("Classifier", [])


def test_the_top_level_of_the_repository_is_as_agreed() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert folders == {"ingest", "retrieval", "rlm", "api", "workers", "deploy", "docs", "tests"}


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
    [ROOT / "deploy" / "locks" / f"{name}.txt" for name in ("embedded", "cluster", "gpu", "test")],
    ids=lambda path: path.stem,
)
def test_every_locked_release_is_allowed_by_what_the_project_asks_for(lock: Path) -> None:
    """A lock that was not written anew after a change of `pyproject.toml` would install something else in images."""
    releases = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock.read_text(), re.MULTILINE))
    every = ["embedded", "ocr", "oidc", "slack", "otel"]
    extras = {
        "embedded": every,
        "cluster": [*every, "cluster"],
        "gpu": [*every, "cluster", "sentence-transformers"],
        "test": [*every, "cluster", "test"],
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for name in extras[lock.stem] for each in project["optional-dependencies"][name]),
    ]
    for requirement in map(Requirement, wanted):
        release = releases.get(canonicalize_name(requirement.name))
        assert release is not None, f"{requirement} is not in {lock.name}: `make locks`"
        assert requirement.specifier.contains(release), f"{requirement} excludes {release}: `make locks`"
