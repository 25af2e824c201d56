"""The images have what they need, run as nobody in particular, and stand on a Python that is pinned."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deployment import (
    API_PATHS,
    API_PORT,
    DEPLOY,
    PLACEHOLDER,
    WORKER_PATHS,
    WORKER_PORT,
    is_pinned,
    is_read,
)

ROOT = DEPLOY.parent
FILES = [DEPLOY / "cluster" / "Dockerfile", DEPLOY / "embedded" / "Dockerfile"]
_PROBE = re.compile(r"http://127\.0\.0\.1:(\d+)(/[\w/]*)")


def stages(file: Path) -> dict[str, str]:
    """The text of each stage by its name; the last one's is `final` where it has none."""
    parts = re.split(r"^FROM (\S+)(?: AS (\w+))?$", file.read_text(), flags=re.MULTILINE)[1:]
    return {name or "final": f"FROM {base}\n{text}" for base, name, text in zip(*[iter(parts)] * 3, strict=True)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_a_base_is_a_digest_or_the_placeholder_that_the_build_replaces(file: Path) -> None:
    text = file.read_text()
    (default,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", text, re.MULTILINE)
    assert default == PLACEHOLDER or is_pinned(default)
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert set(bases) <= {"${PYTHON_IMAGE}", *stages(file)}


def test_the_build_refuses_a_base_without_a_digest() -> None:
    build = subprocess.run(
        [DEPLOY / "cluster" / "build-images"],
        env={"PYTHON_IMAGE": PLACEHOLDER, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 1
    assert "must name a digest" in build.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_what_is_copied_exists_and_the_lock_is_one_of_ours(file: Path) -> None:
    text = file.read_text()
    locks = {lock.stem for lock in (DEPLOY / "locks").glob("*.txt")}
    assert set(re.findall(r"^ARG LOCK=(\w+)$", text, re.MULTILINE)) <= locks
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for each in source.replace("${LOCK}", "gpu").split():
            assert (ROOT / each).exists(), each
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not {"ingest", "retrieval", "rlm", "api", "workers", "deploy", "README.md", "leadline.py"} & set(ignored)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_nothing_runs_as_root_and_the_hardened_sandbox_is_installed(file: Path) -> None:
    runtime = stages(file).get("runtime") or stages(file)["final"]
    assert re.findall(r"^USER (\S+)$", runtime, re.MULTILINE) == ["10001:10001"]
    assert re.search(r"apt-get install [^\n]*\bbubblewrap\b", runtime)
    assert "USER root" not in file.read_text()


def test_each_image_of_the_cluster_tells_its_health_where_something_listens() -> None:
    found = stages(FILES[0])
    for name, port, paths in (("api", API_PORT, API_PATHS), ("worker", WORKER_PORT, WORKER_PATHS)):
        ((asked, path),) = _PROBE.findall(found[name])
        assert (int(asked), path in paths) == (port, True)
        assert f"EXPOSE {port}" in found[name]
    variables = re.findall(
        r"\b([A-Z][A-Z_]+)=", "".join(re.findall(r"^ENV (?:.*\\\n)*.*$", "\n".join(found.values()), re.M))
    )
    assert [each for each in variables if not is_read(each)] == []
    assert f"LEADLINE_METRICS_PORT={WORKER_PORT}" in found["worker"]


def test_images_have_what_is_only_set_up_later() -> None:
    """The Slack bot, tokens of a provider, traces, text in pictures."""
    for lock in ("embedded", "cluster", "gpu"):
        releases = set(re.findall(r"^([a-z0-9._-]+)==", (DEPLOY / "locks" / f"{lock}.txt").read_text(), re.MULTILINE))
        assert {"slack-bolt", "pyjwt", "opentelemetry-sdk", "rapidocr"} <= releases
        assert ("torch" in releases) == (lock == "gpu")


@pytest.mark.slow
def test_the_bill_of_materials_names_every_locked_release(tmp_path: Path) -> None:
    """The image's own is of its environment, by the same tool."""
    lock = DEPLOY / "locks" / "cluster.txt"
    subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-file", tmp_path / "sbom.json", lock],
        check=True,
    )
    bill = json.loads((tmp_path / "sbom.json").read_text())
    releases = dict(re.findall(r"^([a-z0-9._-]+)==([^ ]+)", lock.read_text(), re.MULTILINE))
    assert bill["bomFormat"] == "CycloneDX"
    assert {each["name"]: each["version"] for each in bill["components"]} == releases
