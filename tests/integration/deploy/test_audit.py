"""What `make audit` finds in the releases of vLLM that are pinned here."""

import json
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from api.cli.doctor import OLDEST_VLLM
from tests.support.programs import load_program

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "deploy" / "audit" / "vllm_advisories.py"
PINNED = ("deploy/chart/values.yaml", "deploy/cluster/compose.yaml", "deploy/vllm/compose.yaml", "pyproject.toml")

program = load_program(PROGRAM)
start = load_program(ROOT / "deploy" / "vllm" / "start.py")
RANGE = program.Advisory("A-1", ("CVE-1",), "stops the server", "0.16.0", "0.21.0", "https://example.org")
UNFIXED = program.Advisory("A-2", (), "fills the disk", "0", None, "https://example.org")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the program and of the files with pins."""
    for name in (*PINNED, "deploy/audit/vllm_advisories.py", "deploy/audit/vllm_advisories.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def run_program(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "deploy/audit/vllm_advisories.py", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_every_pinned_release_is_found_and_has_no_known_advisory() -> None:
    pins = program.find_pins()
    assert sorted(pin.path for pin in pins) == sorted(PINNED)
    assert [pin.path for pin in pins if pin.allows_later] == ["pyproject.toml"]
    assert program.list_affected_pins(pins, program.load_advisories()) == []


def test_doctor_and_the_starter_name_the_oldest_release_that_the_extra_allows() -> None:
    (oldest,) = (pin.version for pin in program.find_pins() if pin.path == "pyproject.toml")
    numbers = tuple(int(number) for number in oldest.split("."))
    assert numbers == OLDEST_VLLM
    assert numbers == start.OLDEST_RELEASE


def test_a_lower_bound_fails_the_audit_if_a_later_release_is_affected() -> None:
    recorded = program.Advisories("2026-11-28", (RANGE,))
    assert program.list_affected_pins([program.Pin("compose.yaml", 3, "0.15.0")], recorded) == []
    (named, advice) = program.list_affected_pins(
        [program.Pin("pyproject.toml", 9, "0.15.0", allows_later=True)], recorded
    )
    assert named.startswith("pyproject.toml:9 vLLM 0.15.0: A-1, CVE-1: ")
    assert advice == "pyproject.toml:9 Pin 0.21.0 or newer."
    assert program.list_affected_pins([program.Pin("pyproject.toml", 9, "0.21", allows_later=True)], recorded) == []


@pytest.mark.parametrize("path", PINNED)
def test_an_old_release_fails_the_audit_wherever_it_is_pinned(path: str, tree: Path) -> None:
    file = tree / path
    file.write_text(re.sub(r"(vllm>=|vllm-openai:v|vllm-openai, tag: v)0\.33(\.0)?", r"\g<1>0.31.0", file.read_text()))
    done = run_program(tree)
    assert done.returncode == 1
    assert re.search(rf"{path}:\d+ vLLM 0\.31\.0: PYSEC-2026-4344, CVE-2026-115911, ", done.stderr)
    assert re.search(rf"{path}:\d+ Pin 0\.33\.0 or newer\.", done.stderr)


def test_a_release_in_a_lock_file_is_audited(tree: Path) -> None:
    (tree / "deploy" / "locks").mkdir()
    (tree / "deploy" / "locks" / "gpu.txt").write_text("vllm==0.17.1 \\\n    --hash=sha256:00\n    # via vllm==1\n")
    assert "deploy/locks/gpu.txt:1 vLLM 0.17.1: " in run_program(tree).stderr


@pytest.mark.parametrize("image", ["vllm/vllm-openai", "vllm/vllm-openai:latest", "vllm/vllm-openai@sha256:0a1"])
def test_an_image_without_a_release_fails_the_audit(image: str, tree: Path) -> None:
    (tree / "deploy" / "more.yaml").write_text(f"services:\n  vllm:\n    image: {image}\n")
    done = run_program(tree)
    assert done.returncode == 1
    assert done.stderr.startswith("deploy/more.yaml:3 uses vLLM without a release")


def test_a_clean_audit_lists_the_pins_and_the_day_of_the_record(tree: Path) -> None:
    done = run_program(tree)
    assert done.returncode == 0, done.stderr
    assert "deploy/vllm/compose.yaml:10 vLLM 0.33.0: no known advisory" in done.stdout
    assert program.load_advisories().read_on in done.stdout


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("0.15.1", False),
        ("0.16", True),
        ("0.16.0", True),
        ("0.20.2.post1", True),
        ("0.20.2+cpu", True),
        ("0.21.0", False),
        ("0.21", False),
        ("0.100.0", False),
        ("v0.20.0", True),
    ],
)
def test_a_release_is_compared_by_its_numbers(version: str, affected: bool) -> None:
    assert RANGE.affects_version(version) is affected


def test_an_advisory_without_a_fix_leaves_no_release_to_pin() -> None:
    pin = program.Pin("compose.yaml", 3, "0.20.0")
    (*named, advice) = program.list_affected_pins([pin], program.Advisories("2026-11-28", (RANGE, UNFIXED)))
    assert [line.rpartition("(")[2] for line in named] == ["fixed in 0.21.0)", "not fixed yet)"]
    assert advice == "compose.yaml:3 No release fixes all of these yet."


def test_the_record_has_its_date_and_the_source_of_each_advisory() -> None:
    recorded = program.load_advisories()
    assert date.fromisoformat(recorded.read_on).year >= 2026
    assert all(each.source.startswith("https://") and each.summary for each in recorded.known)
    assert len({(each.id, each.introduced) for each in recorded.known}) == len(recorded.known)


def osv_record(name: str, *events: dict[str, str], **given: object) -> dict[str, Any]:
    ranges = [{"type": "GIT", "events": [{"introduced": "0"}]}, {"type": "ECOSYSTEM", "events": list(events)}]
    other = {"package": {"name": "another"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}
    affected = [{"package": {"name": "vllm"}, "ranges": ranges}, other]
    return {"id": name, "aliases": [], "details": "A request\nstops it.", "affected": affected, **given}


def test_each_range_of_a_record_of_osv_becomes_an_entry_and_withdrawn_records_none() -> None:
    spans = ({"introduced": "0.2.0"}, {"fixed": "0.3.0"}, {"introduced": "0.5.0"}, {"fixed": "0.5.2"})
    withdrawn = osv_record("PYSEC-2", *spans, withdrawn="2026-01-01")
    entries = program.convert_osv_records([withdrawn, osv_record("PYSEC-1", *spans)])
    assert [(entry["introduced"], entry["fixed"]) for entry in entries] == [("0.2.0", "0.3.0"), ("0.5.0", "0.5.2")]
    assert {(entry["id"], entry["summary"]) for entry in entries} == {("PYSEC-1", "A request stops it.")}


def test_a_range_of_osv_that_does_not_end_is_not_fixed() -> None:
    (entry,) = program.convert_osv_records([osv_record("PYSEC-1", {"introduced": "0"}, {"last_affected": "0.9.0"})])
    assert (entry["introduced"], entry["fixed"]) == ("0", None)


def test_recording_anew_keeps_advisories_of_other_sources_until_osv_has_them(tree: Path) -> None:
    before = {each.id: each for each in program.load_advisories().known}
    others = {name for name, each in before.items() if "osv.dev" not in each.source}
    covered = "GHSA-v97p-wpxp-px84"
    assert covered in others
    (tree / "records").mkdir()
    record = osv_record("PYSEC-9", {"introduced": "0"}, {"fixed": "0.40.0"}, aliases=[covered])
    (tree / "records" / "PYSEC-9.json").write_text(json.dumps(record))
    assert run_program(tree, "--record", "records").returncode == 0
    after = program.load_advisories(tree / "deploy" / "audit" / "vllm_advisories.json")
    assert {each.id for each in after.known} == others - {covered} | {"PYSEC-9"}
    assert run_program(tree).returncode == 1
