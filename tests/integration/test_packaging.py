"""The wheel holds what the code reads."""

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
_PACKAGES = {"ingest", "retrieval", "rlm", "api", "workers"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return zipfile.ZipFile(made)


def test_the_wheel_holds_the_packages_and_the_module_of_the_client(wheel: zipfile.ZipFile) -> None:
    top = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert top == {*_PACKAGES, "leadline.py"}


def test_the_base_installation_is_what_the_client_needs(wheel: zipfile.ZipFile) -> None:
    (stored,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    required = map(Requirement, Parser().parsestr(wheel.read(stored).decode()).get_all("Requires-Dist", []))
    base = {each.name for each in required if each.marker is None}
    assert base == {"anyio", "httpx", "httpx-sse", "pydantic", "tenacity"}
